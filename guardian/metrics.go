package guardian

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/vpnguard/vpnguard/guard"
)

// contentType is that of OpenMetrics 1.0.
const contentType = "application/openmetrics-text; version=1.0.0; charset=utf-8"

// serveMetrics serves GET /metrics, if it is wanted.
func (g *Guardian) serveMetrics() (stop func(), err error) {
	if g.Metrics == "" {
		return func() {}, nil
	}
	network, addr := "tcp", g.Metrics
	if path, ok := strings.CutPrefix(g.Metrics, "unix:"); ok {
		network, addr = "unix", path
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, fmt.Errorf("remove an earlier metrics socket: %w", err)
		}
	}
	l, err := net.Listen(network, addr)
	if err != nil {
		return nil, fmt.Errorf("serve metrics: %w", err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, _ *http.Request) {
		st, err := g.Guard.Status()
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", contentType)
		var page bytes.Buffer
		g.mu.Lock()
		writeMetrics(&page, st, g.stats)
		g.mu.Unlock()
		_, _ = w.Write(page.Bytes())
	})
	srv := &http.Server{Handler: mux, ReadTimeout: readTimeout, WriteTimeout: readTimeout, MaxHeaderBytes: 8 << 10}
	go func() { _ = srv.Serve(l) }()
	return func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = srv.Shutdown(ctx)
	}, nil
}

// writeMetrics writes OpenMetrics text. Labels are our own words and rule ids,
// which need no escaping.
func writeMetrics(w io.Writer, st guard.Status, s stats) {
	family := func(name, kind, help string) {
		fmt.Fprintf(w, "# TYPE %s %s\n# HELP %s %s\n", name, kind, name, help)
	}
	family("vpnguard_state", "stateset", "State of the host.")
	for c := guard.Blocked; c <= guard.Locked; c++ {
		fmt.Fprintf(w, "vpnguard_state{vpnguard_state=%q} %d\n", c, number(c == st.State))
	}
	family("vpnguard_enforced", "gauge", "Whether the kernel has exactly what was recorded.")
	fmt.Fprintf(w, "vpnguard_enforced %d\n", number(st.Enforced))
	family("vpnguard_drift", "gauge", "Differences between what is recorded and what the kernel has.")
	fmt.Fprintf(w, "vpnguard_drift %d\n", len(st.Drift))
	family("vpnguard_sessions", "gauge", "Sessions that are recorded.")
	fmt.Fprintf(w, "vpnguard_sessions %d\n", len(st.Record.Sessions))
	family("vpnguard_heals", "counter", "Repairs since the guardian started.")
	fmt.Fprintf(w, "vpnguard_heals_total %d\n", s.heals)
	family("vpnguard_blocked_packets", "counter", "Packets refused since the rules are in force, by chain and rule.")
	seen := map[string]uint64{}
	var order []string
	for _, c := range st.Counters {
		id, _, _ := strings.Cut(c.Rule, ":")
		if !c.Blocks || id == "" {
			continue
		}
		key := fmt.Sprintf("chain=%q,rule=%q", c.Chain, id)
		if _, ok := seen[key]; !ok {
			order = append(order, key)
		}
		seen[key] += c.Packets
	}
	for _, key := range order {
		fmt.Fprintf(w, "vpnguard_blocked_packets_total{%s} %d\n", key, seen[key])
	}
	fmt.Fprint(w, "# EOF\n")
}

func number(b bool) int {
	if b {
		return 1
	}
	return 0
}
