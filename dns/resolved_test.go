package dns

import (
	"context"
	"strings"
	"testing"
	"time"
)

func TestResolvedHasTheSessionsServersAndGivesThemBack(t *testing.T) {
	systemBusRuns(t)
	stop := resolvedRuns(t)
	tunnelDevice(t, "tun0")
	tunnelDevice(t, "tun1")
	var s System
	// Somebody else, such as a script of the client's, has told the link before.
	resolvectl(t, "dns tun0 192.0.2.7")
	resolvectl(t, "domain tun0 old.example")
	before := resolvectl(t, "status tun0")

	full := Link{Dev: "tun0", Servers: addrs("10.8.0.1", "fd00:8::1"), Search: []string{"corp.example"}, All: true}
	split := Link{Dev: "tun1", Servers: addrs("10.9.0.1"), Search: []string{"b.example"}, Route: []string{"c.example"}}
	saved := set(t, s, Resolved, nil, Wish{Links: []Link{full, split}})
	for args, want := range map[string]string{
		"dns tun0": "10.8.0.1 fd00:8::1", "domain tun0": "corp.example ~.", "default-route tun0": "yes", "llmnr tun0": "no", "mdns tun0": "no",
		"dns tun1": "10.9.0.1", "domain tun1": "b.example ~c.example", "default-route tun1": "no",
	} {
		if got := resolvectl(t, args); !strings.HasSuffix(got, ": "+want) {
			t.Errorf("resolvectl %s: %q, want %q", args, got, want)
		}
	}

	// One ends: its link is as before, the other's stays.
	saved = set(t, s, Resolved, &saved, Wish{Links: []Link{split}})
	if after := resolvectl(t, "status tun0"); after != before {
		t.Errorf("link given back:\n%s\nbefore:\n%s", after, before)
	}
	if got := resolvectl(t, "dns tun1"); !strings.HasSuffix(got, ": 10.9.0.1") {
		t.Errorf("the other link: %q", got)
	}

	// Drift is seen, and setting again heals.
	resolvectl(t, "domain tun1 evil.example")
	if drift := s.Verify(saved); len(drift) != 1 || !strings.Contains(drift[0], "tun1") {
		t.Errorf("drift: %q", drift)
	}
	saved = set(t, s, Resolved, &saved, Wish{Links: []Link{split}})

	// A restart that forgets: watched, seen, set again.
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	came := make(chan Owner, 8)
	go func() { _ = s.Watch(ctx, func(o Owner) { came <- o }) }()
	if o := <-came; o != Resolved {
		t.Fatalf("there at first: %s", o)
	}
	stop()
	sh(t, "rm -rf /run/systemd/resolve/netif")
	if drift := s.Verify(saved); len(drift) == 0 {
		t.Error("no drift without systemd-resolved")
	}
	resolvedRuns(t)
	select {
	case o := <-came:
		if o != Resolved {
			t.Errorf("came back: %s", o)
		}
	case <-ctx.Done():
		t.Error("its coming back was not told")
	}
	if drift := s.Verify(saved); len(drift) == 0 {
		t.Error("no drift after a restart that forgot")
	}
	saved = set(t, s, Resolved, &saved, Wish{Links: []Link{split}})
	giveAllBack(t, s, saved)
	if got := resolvectl(t, "dns tun1"); !strings.HasSuffix(got, "(tun1):") {
		t.Errorf("after the end: %q", got)
	}
}

func TestResolvedLinkThatIsGoneIsNoFailure(t *testing.T) {
	systemBusRuns(t)
	resolvedRuns(t)
	tunnelDevice(t, "tun0")
	var s System
	saved := set(t, s, Resolved, nil, Wish{Links: []Link{{Dev: "tun0", Servers: addrs("10.8.0.1"), All: true}}})
	sh(t, "ip link del tun0")
	if drift := s.Verify(saved); len(drift) > 0 {
		t.Errorf("the client reconnects, and: %q", drift)
	}
	tunnelDevice(t, "tun0") // another index
	if drift := s.Verify(saved); len(drift) == 0 {
		t.Error("a new device without resolvers is no drift")
	}
	saved = set(t, s, Resolved, &saved, Wish{Links: saved.Links})
	giveAllBack(t, s, saved)
}
