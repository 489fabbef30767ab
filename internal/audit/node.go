package audit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"vidmeta/cache"
	"vidmeta/schema"
)

// LocalPath is where the admin listener of a node serves LocalHandler.
const LocalPath = "/v1/inspect/local"

const (
	largestSample = 1000    // documents that one question asks for
	largestAnswer = 1 << 20 // bytes of an answer, several times what that takes
)

// localDocument is what a node's local tier holds of one document.
type localDocument struct {
	ID schema.ID `json:"id"`
	cache.Held
}

// LocalHandler answers GET ?ids=1,2,3 with what the local tier of a node holds of these documents, in order, and
// GET ?sample=n with up to n documents picked at random out of what it would serve. Up to 1,000 documents may be asked for. Nobody
// but the local tier is asked.
func LocalHandler(chain *cache.Chain) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ids, err := localQuestion(r, chain.SampleLocal)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		documents := make([]localDocument, len(ids))
		for i, h := range chain.InspectLocal(ids) {
			documents[i] = localDocument{ID: ids[i], Held: h}
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		_ = json.NewEncoder(w).Encode(documents) // a client that has gone
	})
}

func localQuestion(r *http.Request, sample func(int) []schema.ID) ([]schema.ID, error) {
	query := r.URL.Query()
	if text := query.Get("sample"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > largestSample {
			return nil, fmt.Errorf("sample must be a number from 1 to %d", largestSample)
		}
		return sample(n), nil
	}
	list := strings.Split(query.Get("ids"), ",")
	if len(list) > largestSample {
		return nil, fmt.Errorf("ids are %d, at most %d", len(list), largestSample)
	}
	ids := make([]schema.ID, len(list))
	for i, text := range list {
		id, err := strconv.ParseUint(text, 10, 64)
		if err != nil || id == 0 {
			return nil, fmt.Errorf("ask for ids=1,2,3 or for sample=100; %q is no id", text)
		}
		ids[i] = schema.ID(id)
	}
	return ids, nil
}

// node is the admin listener of a node.
type node struct {
	url    string
	token  string
	client *http.Client
}

// sample returns up to that many documents that the node would serve from its local tier.
func (n *node) sample(ctx context.Context, count int) ([]schema.ID, error) {
	documents, err := n.ask(ctx, "sample="+strconv.Itoa(count))
	ids := make([]schema.ID, len(documents))
	for i, d := range documents {
		ids[i] = d.ID
	}
	return ids, err
}

// inspect returns what the node's local tier holds of each document, in order.
func (n *node) inspect(ctx context.Context, ids []schema.ID) ([]cache.Held, error) {
	query := []byte("ids=")
	for i, id := range ids {
		if i > 0 {
			query = append(query, ',')
		}
		query = strconv.AppendUint(query, uint64(id), 10)
	}
	documents, err := n.ask(ctx, string(query))
	if err != nil {
		return nil, err
	}
	if len(documents) != len(ids) {
		return nil, fmt.Errorf("it answered for %d documents of %d", len(documents), len(ids))
	}
	held := make([]cache.Held, len(ids))
	for i, d := range documents {
		if d.ID != ids[i] {
			return nil, fmt.Errorf("it answered for document %d when asked for %d", d.ID, ids[i])
		}
		held[i] = d.Held
	}
	return held, nil
}

func (n *node) ask(ctx context.Context, query string) ([]localDocument, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, n.url+LocalPath+"?"+query, nil)
	if err != nil {
		return nil, err
	}
	if n.token != "" {
		req.Header.Set("Authorization", "Bearer "+n.token)
	}
	res, err := n.client.Do(req)
	if err != nil {
		if whole, ok := errors.AsType[*url.Error](err); ok {
			err = whole.Err // without all the ids
		}
		return nil, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, largestAnswer))
	if err != nil {
		return nil, err
	}
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", res.Status, strings.TrimSpace(string(body[:min(len(body), 200)])))
	}
	var documents []localDocument
	if err := json.Unmarshal(body, &documents); err != nil {
		return nil, fmt.Errorf("its answer: %w", err)
	}
	return documents, nil
}
