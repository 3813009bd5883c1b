package main

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"sync"
)

// newLog logs lines of keys and values. For the journal they begin with a level
// (sd-daemon(3)), and it adds the time itself.
func newLog(w io.Writer, journal bool) *slog.Logger {
	if !journal {
		return slog.New(slog.NewTextHandler(w, nil))
	}
	h := &journalHandler{w: w}
	h.text = slog.NewTextHandler(&h.line, &slog.HandlerOptions{ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
		if len(groups) == 0 && (a.Key == slog.TimeKey || a.Key == slog.LevelKey) {
			return slog.Attr{}
		}
		return a
	}})
	return slog.New(h)
}

// journalHandler puts levels before lines. It has no groups and no attributes of
// its own: nothing here uses them.
type journalHandler struct {
	mu   sync.Mutex
	w    io.Writer
	line bytes.Buffer
	text slog.Handler
}

func (h *journalHandler) Enabled(ctx context.Context, l slog.Level) bool {
	return h.text.Enabled(ctx, l)
}

func (h *journalHandler) Handle(ctx context.Context, r slog.Record) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.line.Reset()
	switch {
	case r.Level >= slog.LevelError:
		h.line.WriteString("<3>")
	case r.Level >= slog.LevelWarn:
		h.line.WriteString("<4>")
	default:
		h.line.WriteString("<6>")
	}
	if err := h.text.Handle(ctx, r); err != nil {
		return err
	}
	_, err := h.w.Write(h.line.Bytes())
	return err
}

func (h *journalHandler) WithAttrs([]slog.Attr) slog.Handler { return h }

func (h *journalHandler) WithGroup(string) slog.Handler { return h }
