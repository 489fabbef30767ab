package arm

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"vidmeta/schema"
)

const (
	fillPath    = "/fill"
	fillSize    = 1000 // documents that a Go arm loads together
	fillWidth   = 32   // that it puts away at once
	lookupSize  = 100  // documents that vidmeta is asked for together
	lookupWidth = 16   // times at once
)

// Fill has the arm read the videos 1 to n, so that its caches keep what they keep of them; a proxy, and an arm without Redis,
// does nothing. Of a Go arm MySQL is asked for many at once, but each document goes the arm's own way into its cache. It
// blocks until that is done.
func (r *Running) Fill(ctx context.Context, n int) error {
	if r.fill == nil {
		return nil
	}
	if err := r.fill(ctx, n); err != nil {
		return fmt.Errorf("arm %s: fill its caches: %w", r.settings.Name, err)
	}
	return nil
}

// fillProgram has a Go arm do it.
func (r *Running) fillProgram(ctx context.Context, n int) error {
	return post(ctx, http.DefaultClient, "http://"+r.Admin+fillPath+"?"+url.Values{"n": {strconv.Itoa(n)}}.Encode(), nil)
}

// fillByLookup asks a node of vidmeta, many at once.
func (r *Running) fillByLookup(ctx context.Context, n int) error {
	transport := &http.Transport{MaxIdleConnsPerHost: lookupWidth}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(lookupWidth)
	for first := 1; first <= n && ctx.Err() == nil; first += lookupSize {
		g.Go(func() error {
			var question struct {
				IDs []int `json:"ids"`
			}
			for id := first; id <= min(n, first+lookupSize-1); id++ {
				question.IDs = append(question.IDs, id)
			}
			body, err := json.Marshal(question)
			if err != nil {
				return err
			}
			return post(ctx, client, r.URL+route+"lookup", body)
		})
	}
	return g.Wait()
}

func post(ctx context.Context, client *http.Client, url string, body []byte) error {
	q, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	q.Header.Set("Content-Type", "application/json")
	answer, err := client.Do(q)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode != http.StatusOK {
		err = fmt.Errorf("POST %s: %s: %s", url, answer.Status, bytes.TrimSpace(text))
	}
	return err
}

// prefetched are documents that the origin has at hand while a Go arm fills.
type prefetched struct {
	atomic.Pointer[map[schema.ID]schema.Document]
}

// get returns a document that is at hand.
func (p *prefetched) get(id schema.ID) (d schema.Document, ok bool) {
	if all := p.Load(); all != nil {
		d, ok = (*all)[id]
	}
	return d, ok
}

// fill reads the videos 1 to n by way of find, which finds in p what it would ask MySQL for. While some are put away the next
// are loaded.
func (p *prefetched) fill(ctx context.Context, store *schema.Store, find lookup, n int) error {
	defer p.Store(nil)
	loaded := make(chan []schema.Document, 1)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		defer close(loaded)
		for first := 1; first <= n; first += fillSize {
			var ids []schema.ID
			for id := first; id <= min(n, first+fillSize-1); id++ {
				ids = append(ids, schema.ID(id))
			}
			docs, err := store.Load(ctx, ids)
			if err != nil {
				return err
			}
			select {
			case loaded <- docs:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
		return nil
	})
	g.Go(func() error {
		for docs := range loaded {
			if err := p.put(ctx, find, docs); err != nil {
				return err
			}
		}
		return nil
	})
	return g.Wait()
}

// put reads documents that are at hand.
func (p *prefetched) put(ctx context.Context, find lookup, docs []schema.Document) error {
	all := make(map[schema.ID]schema.Document, len(docs))
	for _, d := range docs {
		all[d.ID] = d
	}
	p.Store(&all)
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(fillWidth)
	for _, d := range docs {
		g.Go(func() error {
			_, err := find(ctx, d.ID)
			return err
		})
	}
	return g.Wait()
}
