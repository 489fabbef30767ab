package cache

import (
	"sync"
	"testing"
	"time"

	"vidmeta/schema"
)

func openLocal(t testing.TB) *Local {
	t.Helper()
	l, err := NewLocal(LocalConfig{MaxBytes: 64 << 20}, NewFence())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	return l
}

func (l *Local) store(d schema.Document, stamp uint64) {
	now := time.Now().UnixMicro()
	l.put(now, arrival{doc: d, stamp: stamp, asOf: now, cost: time.Millisecond})
}

// served returns the version that a reader is served now, 0 if none.
func (l *Local) served(id schema.ID) schema.Version {
	if e, valid := l.get(id, time.Now().UnixMicro()); valid {
		return e.version
	}
	return 0
}

func TestLocalPutIsVisible(t *testing.T) {
	l := openLocal(t)
	for id := range schema.ID(1000) {
		l.store(document(id+1, 5), l.fence.Stamp(id+1))
		if l.served(id+1) != 5 {
			t.Fatalf("%d is not there after put", id+1)
		}
	}
}

func TestLocalInvalidation(t *testing.T) {
	l := openLocal(t)
	stamp := l.fence.Stamp(1)
	l.store(document(1, 5), stamp)
	l.fence.Invalidate(1)
	if v := l.served(1); v != 0 {
		t.Errorf("version %d is served after its invalidation", v)
	}
	l.store(document(1, 5), stamp) // a load that began before
	if v := l.served(1); v != 0 {
		t.Errorf("version %d of a load that began before the invalidation is served", v)
	}
	l.store(document(1, 6), l.fence.Stamp(1))
	if v := l.served(1); v != 6 {
		t.Errorf("version %d is served, want 6", v)
	}
	l.store(document(1, 5), stamp) // later still
	if v := l.served(1); v != 6 {
		t.Errorf("version %d is served, want 6: a late load must not displace a newer one", v)
	}
	l.fence.InvalidateAll()
	if v := l.served(1); v != 0 {
		t.Errorf("version %d is served after everything was dropped", v)
	}
}

// Ristretto keeps the older of two values set in a row on an absent key, and may bring back a deleted one. Readers that
// load as a chain does, against a writer that invalidates as the feed does, must never be served a version older than
// the one that was invalid.
func TestLocalUnderRaces(t *testing.T) {
	l := openLocal(t)
	const ids, rounds = 64, 3000
	var truth [ids]struct {
		mu      sync.Mutex
		version schema.Version
	}
	load := func(id schema.ID) schema.Version {
		truth[id].mu.Lock()
		defer truth[id].mu.Unlock()
		return truth[id].version
	}
	var readers, writers sync.WaitGroup
	stop := make(chan struct{})
	for r := range 4 {
		readers.Go(func() {
			for i := uint64(r); ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				id := schema.ID(mix(i) % ids)
				least := load(id) // told to this reader, so no later read may be older
				stamp := l.fence.Stamp(id)
				if v := l.served(id); v != 0 {
					if v < least {
						t.Errorf("id %d: version %d is served after %d was announced", id, v, least)
						return
					}
					continue
				}
				l.store(document(id, load(id)), stamp)
			}
		})
	}
	for w := range 2 {
		writers.Go(func() {
			for i := range uint64(rounds) {
				id := schema.ID(mix(i+uint64(w)<<32) % ids)
				truth[id].mu.Lock()
				truth[id].version++
				l.fence.Invalidate(id) // before anybody can know of the version
				truth[id].mu.Unlock()
			}
		})
	}
	writers.Wait()
	close(stop)
	readers.Wait()
	l.check(t)
}

func TestLocalExpires(t *testing.T) {
	l := openLocal(t)
	l.store(document(1, 5), l.fence.Stamp(1))
	if _, valid := l.get(1, time.Now().Add(l.cfg.TTL*2).UnixMicro()); valid {
		t.Error("served after its TTL")
	}
}

func TestLocalConfig(t *testing.T) {
	for _, cfg := range []LocalConfig{{}, {MaxBytes: 1000}, {MaxBytes: 1 << 20, TTL: -time.Hour}} {
		if l, err := NewLocal(cfg, NewFence()); err == nil {
			l.Close()
			t.Errorf("%+v was accepted", cfg)
		}
	}
}
