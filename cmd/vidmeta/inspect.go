package main

import (
	"encoding/json"
	"net/http"
	"strconv"

	"vidmeta/cache"
	"vidmeta/schema"
)

// inspect answers GET /v1/inspect/{id}: what each tier holds of a document, and why.
func inspect(chain *cache.Chain) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, err := strconv.ParseUint(r.PathValue("id"), 10, 64)
		if err != nil || id == 0 {
			http.Error(w, "the id must be a number from 1 to 18446744073709551615", http.StatusBadRequest)
			return
		}
		text, err := json.MarshalIndent(chain.Inspect(r.Context(), schema.ID(id)), "", "  ")
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		_, _ = w.Write(append(text, '\n')) // a client that has gone
	})
}
