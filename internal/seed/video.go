package seed

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"time"

	"vidmeta/schema"
)

// mix scatters an id over all 64-bit numbers, each id to a number of its own (the finaliser of SplitMix64).
func mix(id schema.ID) uint64 {
	h := uint64(id) * 0x9e3779b97f4a7c15
	h = (h ^ h>>30) * 0xbf58476d1ce4e5b9
	h = (h ^ h>>27) * 0x94d049bb133111eb
	return h ^ h>>31
}

// PublicID is the public id of the video that Seed makes for an id. No two ids have the same.
func PublicID(id schema.ID) string {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], mix(id))
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// source is the number of the film, from zero, that the video of an id shows.
func source(id schema.ID) int { return int((uint64(id) - 1) % Films) }

// A table is one table that Seed fills, and how it makes the rows of one video.
type table struct {
	insert string // up to VALUES
	width  int    // columns
	rows   func(args []any, id schema.ID, f *film) []any
}

// tables in the order that the foreign keys ask for.
var tables = []table{
	{"INSERT INTO videos (id, public_id, title, description, kind, channel, category, language, release_year, duration_ms," +
		" thumbnail_url, published_at) VALUES ", 12, videoRow},
	{"INSERT INTO video_tags (video_id, tag) VALUES ", 2, tagRows},
	{"INSERT INTO video_cast (video_id, position, name) VALUES ", 3, castRows},
	{"INSERT INTO video_renditions (video_id, quality, codec, width, height, bitrate_kbps, url) VALUES ", 7, renditionRows},
	{"INSERT INTO video_stats (video_id, views, likes) VALUES ", 3, statsRow},
}

func videoRow(args []any, id schema.ID, f *film) []any {
	h := mix(id)
	category := any(nil)
	if len(f.Genres) > 0 {
		category = f.Genres[0]
	}
	minutes := 62 + h%88
	if f.Year < 1927 {
		minutes = 12 + h%70 // short reels
	}
	day := time.Date(f.Year, time.January, 1+int(h>>8%365), 0, 0, 0, 0, time.UTC)
	return append(args, uint64(id), PublicID(id), f.Title, text(f.Extract), "film",
		fmt.Sprintf("Films of the %ds", f.Year/10*10), category, "en", f.Year,
		minutes*60_000+h>>20%60_000, text(f.Thumbnail), day.Format("2006-01-02 15:04:05"))
}

// text is NULL for a text that the film does not have.
func text(s string) any {
	if s == "" {
		return nil
	}
	return s
}

func tagRows(args []any, id schema.ID, f *film) []any {
	for _, tag := range f.Genres { // no film has one twice
		args = append(args, uint64(id), tag)
	}
	return args
}

func castRows(args []any, id schema.ID, f *film) []any {
	for i, name := range f.Cast {
		args = append(args, uint64(id), i+1, name)
	}
	return args
}

// A quality is a rendition that a video may have.
type quality struct {
	name, codec          string
	width, height, kbits int
}

// ladders are what old, middle-aged and new films are to be had in.
var (
	oldLadder = []quality{{"480p", "h264", 640, 480, 1200}, {"360p", "h264", 480, 360, 650}}
	midLadder = []quality{{"1080p", "h264", 1920, 1080, 5200}, {"720p", "h264", 1280, 720, 2800}, {"480p", "h264", 854, 480, 1300}}
	newLadder = []quality{{"2160p", "av1", 3840, 2160, 12000}, {"1080p", "h264", 1920, 1080, 5200}, {"720p", "h264", 1280, 720, 2800}}
)

func renditionRows(args []any, id schema.ID, f *film) []any {
	ladder := midLadder
	switch {
	case f.Year < 1953:
		ladder = oldLadder
	case f.Year >= 2010:
		ladder = newLadder
	}
	public := PublicID(id)
	for _, q := range ladder {
		args = append(args, uint64(id), q.name, q.codec, q.width, q.height, q.kbits,
			"https://cdn.example/v/"+public+"/"+q.name+"."+q.codec+".mp4")
	}
	return args
}

func statsRow(args []any, id schema.ID, _ *film) []any {
	views := mix(id) >> 44 // up to a million
	return append(args, uint64(id), views, views/37)
}
