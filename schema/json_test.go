package schema

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// reference is a document as encoding/json has it.
type reference struct {
	ID           uint64               `json:"id"`
	PublicID     *string              `json:"public_id"`
	Title        *string              `json:"title"`
	Description  *string              `json:"description"`
	Kind         *string              `json:"kind"`
	Channel      *string              `json:"channel"`
	Category     *string              `json:"category"`
	Language     *string              `json:"language"`
	ReleaseYear  *uint64              `json:"release_year"`
	DurationMS   *uint64              `json:"duration_ms"`
	Status       *string              `json:"status"`
	ThumbnailURL *string              `json:"thumbnail_url"`
	PublishedAt  *string              `json:"published_at"`
	CreatedAt    *string              `json:"created_at"`
	UpdatedAt    *string              `json:"updated_at"`
	Tags         []string             `json:"tags"`
	Cast         []string             `json:"cast"`
	Renditions   []referenceRendition `json:"renditions"`
	Version      uint64               `json:"version"`
}

type referenceRendition struct {
	Quality     *string `json:"quality"`
	Codec       *string `json:"codec"`
	Width       *uint64 `json:"width"`
	Height      *uint64 `json:"height"`
	BitrateKbps *uint64 `json:"bitrate_kbps"`
	URL         *string `json:"url"`
}

// replaceInvalid does to each bad byte what the encoders do; strings.ToValidUTF8 would do it to each run of them.
func replaceInvalid(s []byte) string {
	return string([]rune(string(s)))
}

func referenceText(s []byte) *string {
	if s == nil {
		return nil
	}
	t := replaceInvalid(s)
	return &t
}

func referenceNumber(n number) *uint64 {
	if !n.valid {
		return nil
	}
	return &n.n
}

func referenceInstant(at instant) *string {
	if !at.valid {
		return nil
	}
	t := time.UnixMicro(at.micros).UTC().Format("2006-01-02T15:04:05.000000Z")
	return &t
}

func referenceOf(v *video, id ID) reference {
	r := reference{
		ID: uint64(id), PublicID: referenceText(v.publicID), Title: referenceText(v.title),
		Description: referenceText(v.description), Kind: referenceText(v.kind), Channel: referenceText(v.channel),
		Category: referenceText(v.category), Language: referenceText(v.language),
		ReleaseYear: referenceNumber(v.releaseYear), DurationMS: referenceNumber(v.durationMS),
		Status: referenceText(v.status), ThumbnailURL: referenceText(v.thumbnailURL),
		PublishedAt: referenceInstant(v.publishedAt), CreatedAt: referenceInstant(v.createdAt),
		UpdatedAt: referenceInstant(v.updatedAt),
		Tags:      []string{}, Cast: []string{}, Renditions: []referenceRendition{}, Version: uint64(v.version),
	}
	for _, tag := range v.tags {
		r.Tags = append(r.Tags, replaceInvalid(tag))
	}
	for _, c := range v.cast {
		r.Cast = append(r.Cast, replaceInvalid(c.name))
	}
	for _, x := range v.renditions {
		r.Renditions = append(r.Renditions, referenceRendition{
			referenceText(x.quality), referenceText(x.codec), referenceNumber(x.width), referenceNumber(x.height),
			referenceNumber(x.bitrateKbps), referenceText(x.url),
		})
	}
	return r
}

// video of a few fuzzed values: text goes into every column of text, split into the tags and names.
func fuzzedVideo(text, publicID []byte, n uint64, micros int64, shape uint8) *video {
	const firstMicros, lastMicros = -62167219200_000000, 253402300799_999999 // the years 0 to 9999
	at := instant{min(max(micros, firstMicros), lastMicros), shape&1 != 0}
	v := &video{
		exists: true, version: Version(n), publicID: publicID, title: text, kind: []byte("film"), description: text,
		releaseYear: number{n % 10000, shape&2 != 0}, durationMS: number{n, true},
		publishedAt: at, createdAt: at, updatedAt: instant{0, true}, thumbnailURL: text,
	}
	if shape&4 != 0 {
		v.publicID, v.description = nil, nil
	}
	if shape&8 != 0 {
		for i, part := range bytes.Split(text, []byte(" ")) {
			v.tags = append(v.tags, part[:len(part):len(part)])
			v.cast = append(v.cast, credit{uint64(1000 - i), part[:len(part):len(part)]})
			v.renditions = append(v.renditions, rendition{
				quality: publicID, codec: part[:len(part):len(part)], height: number{n % 7 * uint64(i), i%2 == 0}, url: text,
			})
		}
	}
	v.order()
	return v
}

func FuzzDocument(f *testing.F) {
	f.Add([]byte("Amélie 😀 <b>&</b>"), []byte("dQw4w9WgXcQ"), uint64(1), int64(-1), uint8(15))
	f.Add([]byte("\xff\xc0\x80 \xed\xa0\x80 a\xe2\x80"), []byte(`","title":"`), uint64(1<<64-1), int64(1795375182172359), uint8(8))
	f.Add([]byte("\u2028\u2029\u2027 \x00\x1f\x7f\b\f\n\r\t\"\\/"), []byte(""), uint64(0), int64(1<<62), uint8(7))
	f.Fuzz(func(t *testing.T, text, publicID []byte, n uint64, micros int64, shape uint8) {
		v := fuzzedVideo(text, publicID, n, micros, shape)
		body := v.appendJSON(nil, ID(n))
		if !utf8.Valid(body) {
			t.Fatalf("not UTF-8: %q", body)
		}
		if bytes.ContainsAny(body, "\u2028\u2029") {
			t.Fatalf("a line separator: %q", body)
		}
		decoder := json.NewDecoder(bytes.NewReader(body))
		decoder.DisallowUnknownFields()
		var got reference
		if err := decoder.Decode(&got); err != nil {
			t.Fatalf("%v: %s", err, body)
		}
		// Encoded again by encoding/json, both ways are the same: values, null or not, lists and the order of the fields.
		want, err := json.Marshal(referenceOf(v, ID(n)))
		if err != nil {
			t.Fatal(err)
		}
		again, err := json.Marshal(got)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(again, want) {
			t.Fatalf("got  %s\nwant %s\nbody %s", again, want, body)
		}
		var compact bytes.Buffer
		encoder := json.NewEncoder(&compact)
		encoder.SetEscapeHTML(false)
		if err := encoder.Encode(got); err != nil {
			t.Fatal(err)
		}
		if direct := strings.TrimSuffix(compact.String(), "\n"); direct != string(body) {
			t.Fatalf("bytes differ from encoding/json's\ngot  %s\nwant %s", body, direct)
		}
		if p := string(v.publicID); HasPublicID(body, p) != ValidPublicID(p) {
			t.Fatalf("HasPublicID(%s, %q) is %v", body, p, HasPublicID(body, p))
		}
	})
}

func TestOrder(t *testing.T) {
	v := &video{
		tags: [][]byte{[]byte("b"), []byte("é"), []byte("B"), []byte("a")},
		cast: []credit{{7, []byte("seventh")}, {1, []byte("first")}, {2, []byte("second")}},
		renditions: []rendition{
			{quality: []byte("audio"), codec: []byte("opus")},
			{quality: []byte("720p"), codec: []byte("vp9"), height: number{720, true}},
			{quality: []byte("1080p"), codec: []byte("h264"), height: number{1080, true}},
			{quality: []byte("720p"), codec: []byte("av1"), height: number{720, true}},
			{quality: []byte("540p"), codec: []byte("av1"), height: number{720, true}},
		},
	}
	v.order()
	if got := string(bytes.Join(v.tags, []byte(" "))); got != "B a b é" {
		t.Errorf("tags: %s", got)
	}
	var names, renditions []string
	for _, c := range v.cast {
		names = append(names, string(c.name))
	}
	for _, r := range v.renditions {
		renditions = append(renditions, string(r.quality)+"/"+string(r.codec))
	}
	if got := strings.Join(names, " "); got != "first second seventh" {
		t.Errorf("cast: %s", got)
	}
	if got := strings.Join(renditions, " "); got != "1080p/h264 540p/av1 720p/av1 720p/vp9 audio/opus" {
		t.Errorf("renditions: %s", got)
	}
}

func TestHasPublicID(t *testing.T) {
	const id = "dQw4w9WgXcQ"
	body := func(publicID string) []byte {
		v := &video{title: []byte(`","public_id":"` + id + `"`)}
		if publicID != "" {
			v.publicID = []byte(publicID)
		}
		return v.appendJSON(nil, 18446744073709551615)
	}
	for _, c := range []struct {
		name  string
		body  []byte
		asked string
		want  bool
	}{
		{"its own", body(id), id, true},
		{"another", body("dQw4w9WgXcR"), id, false},
		{"another in case", body("dqw4w9wgxcq"), id, false},
		{"none, and the title pretends", body(""), id, false},
		{"a shorter one", body("dQw4w9WgXc"), id, false},
		{"a longer one", body(id + "a"), id, false},
		{"not a valid one", body("short"), "short", false},
		{"nothing asked", body(""), "", false},
		{"no document", nil, id, false},
		{"cut off", body(id)[:40], id, false},
		{"not a document", []byte(`{"public_id":"` + id + `"}`), id, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := HasPublicID(c.body, c.asked); got != c.want {
				t.Errorf("%v, want %v: %s", got, c.want, c.body)
			}
		})
	}
	full := body(id)
	if n := testing.AllocsPerRun(100, func() { HasPublicID(full, id) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestValidPublicID(t *testing.T) {
	for s, want := range map[string]bool{
		"dQw4w9WgXcQ": true, "-----------": true, "0123456789_": true,
		"": false, "dQw4w9WgXc": false, "dQw4w9WgXcQQ": false, "dQw4w9WgXc ": false, "dQw4w9WgXc\"": false,
		"dQw4w9WgX\u00e9": false, "dQw4w9WgXc\x00": false, "dQw4w9WgXc+": false, "dQw4w9WgXc/": false,
	} {
		if got := ValidPublicID(s); got != want {
			t.Errorf("ValidPublicID(%q) = %v", s, got)
		}
	}
}

func BenchmarkEncode(b *testing.B) {
	text := []byte("City of Bad Men is a 1953 American Western film directed by Harmon Jones, starring Jeanne Crain. Amélie aussi.")
	v := fuzzedVideo(text, []byte("dQw4w9WgXcQ"), 1080, 1795375182172359, 1|2)
	for _, name := range []string{"Jeanne Crain", "Dale Robertson", "Richard Boone", "Lloyd Bridges"} {
		v.tags = append(v.tags, []byte(name))
		v.cast = append(v.cast, credit{1, []byte(name)})
		v.renditions = append(v.renditions, rendition{
			quality: []byte("1080p"), codec: []byte("h264"), width: number{1920, true}, height: number{1080, true},
			bitrateKbps: number{5200, true}, url: []byte("https://cdn.example/v/dQw4w9WgXcQ/1080p.mp4"),
		})
	}
	b.Run("append", func(b *testing.B) {
		var body []byte
		b.ReportAllocs()
		for b.Loop() {
			body = v.appendJSON(body[:0], 42)
		}
		b.SetBytes(int64(len(body)))
	})
	b.Run("encoding-json", func(b *testing.B) {
		r := referenceOf(v, 42)
		b.ReportAllocs()
		for b.Loop() {
			body, err := json.Marshal(r)
			if err != nil {
				b.Fatal(err)
			}
			b.SetBytes(int64(len(body)))
		}
	})
}

func BenchmarkHasPublicID(b *testing.B) {
	v := &video{publicID: []byte("dQw4w9WgXcQ")}
	body := v.appendJSON(nil, 123456)
	b.ReportAllocs()
	for b.Loop() {
		HasPublicID(body, "dQw4w9WgXcQ")
	}
}
