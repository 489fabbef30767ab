package main

import (
	"context"
	"io"
	"log/slog"

	"github.com/go-sql-driver/mysql"
	"github.com/redis/go-redis/v9"
)

// logSettings say what is written to standard error.
type logSettings struct {
	LogLevel  slog.Level `default:"info" help:"Least that is logged: debug, info, warn or error."`
	LogFormat string     `default:"text" enum:"text,json" help:"Form of the log: text or json."`
}

func (s *logSettings) logger(w io.Writer) *slog.Logger {
	o := &slog.HandlerOptions{Level: s.LogLevel}
	if s.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(w, o))
	}
	return slog.New(slog.NewTextHandler(w, o))
}

// silenceDrivers keeps the database drivers from writing to standard error by themselves: what they write is in the
// errors that they return, too, and those are logged where they are handled. It concerns the whole process, so it is
// for main.
func silenceDrivers() {
	redis.SetLogger(silence{})
	_ = mysql.SetLogger(&mysql.NopLogger{}) // refuses nil alone
}

type silence struct{}

func (silence) Printf(context.Context, string, ...any) {}
