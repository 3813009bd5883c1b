package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/vpnguard/vpnguard/tunnel/wgconf"
)

// hooks runs the file's commands of a moment, in their order; the first that fails
// is the last.
func (s *supervisor) hooks(ctx context.Context, when wgconf.Moment) error {
	log := &lines{say: func(line string) { s.log.Info("a command says", "when", when, "line", line) }}
	for _, h := range s.plan.conf.Interface.Hooks {
		if h.When != when {
			continue
		}
		if err := runHook(ctx, strings.ReplaceAll(h.Command, "%i", s.plan.setup.Name), log); err != nil {
			return fmt.Errorf("%s of line %d: %w", when, h.Line, err)
		}
	}
	return nil
}

// lastHooks are those of an end, which nothing holds up.
func (s *supervisor) lastHooks(when wgconf.Moment) {
	if err := s.hooks(context.Background(), when); err != nil {
		s.log.Warn("a command failed", "err", err)
	}
}
