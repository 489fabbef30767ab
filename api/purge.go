package api

import (
	"net/http"
	"strconv"
)

// purge answers POST /v1/purge, with a body like that of a lookup.
func (a *Admin) purge(w http.ResponseWriter, r *http.Request) {
	w.Header()["Cache-Control"] = valueNoStore
	body, err := readLookupBody(r, max(DefaultMaxBody, 64*DefaultMaxBatchPost))
	if err != nil {
		refuse(w, r, err)
		return
	}
	ids, err := parseLookup(body, DefaultMaxBatchPost)
	if err != nil {
		refuse(w, r, err)
		return
	}
	if err := a.cfg.Purge(r.Context(), ids); err != nil {
		writeProblem(w, r, problemUnavailable, err.Error()) // an operator may see it, and is the one to
		return
	}
	w.Header()["Content-Type"] = valueJSON
	w.Write(append(strconv.AppendInt([]byte(`{"purged":`), int64(len(ids)), 10), "}\n"...)) // whoever asked may have left
}

func refuse(w http.ResponseWriter, r *http.Request, err error) {
	p, detail := problemOf(err, false)
	writeProblem(w, r, p, detail)
}
