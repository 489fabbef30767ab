package seed

import (
	"bufio"
	"bytes"
	"compress/gzip"
	_ "embed"
	"encoding/json"
	"fmt"
)

// Films is the number of different films; beyond it they repeat.
const Films = 36273

//go:embed data/wikipedia-movies.jsonl.gz
var filmData []byte

// A film is one line of the data; see data/README.md.
type film struct {
	Title     string   `json:"title"`
	Year      int      `json:"year"`
	Cast      []string `json:"cast"`
	Genres    []string `json:"genres"`
	Extract   string   `json:"extract"`
	Thumbnail string   `json:"thumbnail"`
}

// films reads the first n films, or all of them if there are fewer.
func films(n int) ([]film, error) {
	n = min(n, Films)
	unzipped, err := gzip.NewReader(bytes.NewReader(filmData))
	if err != nil {
		return nil, fmt.Errorf("read the films: %w", err)
	}
	all := make([]film, n)
	decoder := json.NewDecoder(bufio.NewReaderSize(unzipped, 64<<10))
	for i := range all {
		if err := decoder.Decode(&all[i]); err != nil {
			return nil, fmt.Errorf("read film %d: %w", i+1, err)
		}
	}
	return all, nil
}
