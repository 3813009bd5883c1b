package guard

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vpnguard/vpnguard/endpoint"
	"github.com/vpnguard/vpnguard/link"
	"github.com/vpnguard/vpnguard/nft"
	"github.com/vpnguard/vpnguard/rules"
	"github.com/vpnguard/vpnguard/state"
	"github.com/vpnguard/vpnguard/sysctl"
)

// crash is what a fake panics with where the process would die.
type crash struct{}

// host is a machine of fakes that keep state and refuse what a kernel refuses.
// Every effect passes step, which may fail it or end the process before or
// after it, and which checks what must hold at every moment.
type host struct {
	t *testing.T
	*Guard
	filter  fakeFilter
	knobs   fakeKnobs
	routing fakeRouting
	journal fakeJournal
	links   fakeLinks
	clients fakeClients

	steps int               // effects so far in this call
	fault func(n int) error // called before the n-th effect; may panic
	after func(n int)       // called after it; may panic
	check func(effect string)
}

func newHost(t *testing.T) *host {
	h := &host{t: t, clients: fakeClients{alive: map[int]uint64{}}}
	h.links.list = []link.Link{
		{Name: "lo", Index: 1, Kind: "device", Up: true, Loopback: true},
		{Name: "eth0", Index: 2, Kind: "veth", Up: true, Ethernet: true, Addresses: []netip.Prefix{netip.MustParsePrefix("192.168.1.101/24")}},
	}
	for i := range 4 {
		h.links.list = append(h.links.list, link.Link{Name: fmt.Sprintf("tun%d", i), Index: 10 + i, Kind: "tun", Up: true,
			Addresses: []netip.Prefix{netip.MustParsePrefix(fmt.Sprintf("10.8.%d.2/24", i))}})
	}
	h.routing.host, h.routing.main = h, wireRoutes()
	h.filter.host, h.knobs.host, h.journal.host, h.links.host = h, h, h, h
	h.knobs.root, h.knobs.off = t.TempDir(), map[string]int{}
	h.knobs.make("all", "eth0", "tun0", "tun1", "tun2", "tun3")
	h.Guard = &Guard{Filter: &h.filter, NAT: &h.filter, Knobs: &h.knobs, Routing: &h.routing, Journal: &h.journal, Kept: &fakeJournal{host: h}, Links: &h.links, Clients: &h.clients,
		Resolver: fakeResolver{}, Now: func() time.Time { return time.Unix(1800000000, 0).UTC() },
		Uptime: func() time.Duration { return time.Hour }}
	return h
}

// step is around every effect.
func (h *host) step(effect string, do func() error) error {
	h.steps++
	n := h.steps
	if h.fault != nil {
		if err := h.fault(n); err != nil {
			return err
		}
	}
	err := do()
	if h.check != nil {
		h.check(effect)
	}
	if err == nil && h.after != nil {
		h.after(n)
	}
	return err
}

// fakeFilter has one ruleset, as it was put there.
type fakeFilter struct {
	*host
	have rules.Ruleset
	nat  *rules.Masquerade
}

func (f *fakeFilter) List() (nft.Listing, error) { return listing(f.have), nil }

func (f *fakeFilter) Replace(rs rules.Ruleset) (nft.Listing, error) {
	err := f.step("replace", func() error {
		if err := f.validate(rs); err != nil {
			return err
		}
		f.have = rs
		return nil
	})
	return listing(f.have), err
}

func (f *fakeFilter) Restore(rs rules.Ruleset) error {
	return f.step("restore", func() error { f.have = rs; return nil })
}

func (f *fakeFilter) Remove() error {
	return f.step("remove", func() error { f.have = rules.Ruleset{}; return nil })
}

// validate refuses what the kernel refuses: a fence on a device that is not
// there, a lookup in a set that is not there, a name twice.
func (f *fakeFilter) validate(rs rules.Ruleset) error {
	for _, t := range rs.Tables {
		names := map[string]bool{}
		for _, s := range t.Sets {
			if names["set "+s.Name] || s.Len() == 0 {
				return fmt.Errorf("set %q: %w", s.Name, unix.EEXIST)
			}
			names["set "+s.Name] = true
		}
		for _, c := range t.Chains {
			if names["chain "+c.Name] {
				return fmt.Errorf("chain %q: %w", c.Name, unix.EEXIST)
			}
			names["chain "+c.Name] = true
			if _, ok := byName(f.links.list, c.Device); c.Device != "" && !ok {
				return fmt.Errorf("chain %q: %w", c.Name, unix.ENOENT)
			}
			for _, r := range c.Rules {
				for _, m := range r.Matches {
					set := ""
					switch m := m.(type) {
					case rules.Tuple:
						set = m.Set
					case rules.AddrSet:
						set = m.Set
					}
					if set != "" && !names["set "+set] {
						return fmt.Errorf("rule %q: set %q: %w", r.ID, set, unix.ENOENT)
					}
				}
			}
		}
	}
	return nil
}

func listing(rs rules.Ruleset) nft.Listing {
	var l nft.Listing
	for _, t := range rs.Tables {
		table := nft.Table{Family: t.Family, Name: t.Name}
		for _, s := range t.Sets {
			table.Sets = append(table.Sets, nft.Set{Name: s.Name, Len: s.Len()})
		}
		for _, c := range t.Chains {
			chain := nft.Chain{Name: c.Name, Type: "filter", Hook: c.Hook, Device: c.Device, Priority: c.Priority, Policy: c.Policy}
			for _, r := range c.Rules {
				chain.Rules = append(chain.Rules, nft.Rule{Comment: r.Comment()})
			}
			table.Chains = append(table.Chains, chain)
		}
		l.Tables = append(l.Tables, table)
	}
	return l
}

// fakeKnobs is the real package on a directory in place of /proc/sys.
type fakeKnobs struct {
	*host
	root string
	off  map[string]int // the knobs that have not the value they were made with
}

func (k *fakeKnobs) fs() sysctl.FS { return sysctl.FS{Root: k.root} }

// loose are values that leave everything open, of every key that is planned.
var loose = map[string]int{
	"ipv4/rp_filter": 0, "ipv4/arp_ignore": 0, "ipv4/arp_announce": 0, "ipv4/accept_redirects": 1, "ipv4/accept_source_route": 1,
	"ipv4/send_redirects": 1, "ipv4/forwarding": 0, "ipv6/accept_redirects": 1, "ipv6/accept_source_route": 1, "ipv6/accept_ra_rt_info_max_plen": 64,
}

func (k *fakeKnobs) make(ifaces ...string) {
	for key, value := range loose {
		family, name, _ := strings.Cut(key, "/")
		for _, iface := range ifaces {
			dir := filepath.Join(k.root, "net", family, "conf", iface)
			if err := errors.Join(os.MkdirAll(dir, 0o755), os.WriteFile(filepath.Join(dir, name), []byte(strconv.Itoa(value)+"\n"), 0o644)); err != nil {
				k.t.Fatal(err)
			}
		}
	}
}

// original is the value that a knob was made with.
func (k *fakeKnobs) original(knob string) int {
	part := strings.Split(knob, "/")
	value, ok := loose[part[1]+"/"+part[4]]
	if !ok {
		k.t.Fatalf("no original of %s", knob)
	}
	return value
}

// look reads a knob that was perhaps written.
func (k *fakeKnobs) look(knob sysctl.Knob) {
	have, err := k.fs().Read(knob)
	if err != nil {
		k.t.Fatal(err)
	}
	delete(k.off, knob.String())
	if have != k.original(knob.String()) {
		k.off[knob.String()] = have
	}
}

// turned reads all knobs and returns those that have not their first value.
func (k *fakeKnobs) turned() map[string]int {
	out := map[string]int{}
	paths, err := filepath.Glob(filepath.Join(k.root, "net", "*", "conf", "*", "*"))
	if err != nil || len(paths) == 0 {
		k.t.Fatalf("no knobs: %v", err)
	}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			k.t.Fatal(err)
		}
		knob, _ := filepath.Rel(k.root, path)
		have, err := strconv.Atoi(strings.TrimSpace(string(text)))
		if err != nil {
			k.t.Fatal(err)
		}
		if have != k.original(knob) {
			out[knob] = have
		}
	}
	return out
}

func (k *fakeKnobs) Plan(wires, tunnels []string) ([]sysctl.Change, []sysctl.Skipped, error) {
	return sysctl.Plan(k.fs(), wires, tunnels)
}

func (k *fakeKnobs) Verify(changes []sysctl.Change) []sysctl.Drift { return k.fs().Verify(changes) }

// Apply turns one knob at a time, as the real one does.
func (k *fakeKnobs) Apply(changes []sysctl.Change) (done []sysctl.Change, skipped []sysctl.Skipped, err error) {
	for _, c := range changes {
		var d []sysctl.Change
		var s []sysctl.Skipped
		err = k.step("turn "+c.Knob.String(), func() error {
			var err error
			d, s, err = k.fs().Apply([]sysctl.Change{c})
			k.look(c.Knob)
			return err
		})
		if errors.Is(err, os.ErrPermission) {
			s, err = []sysctl.Skipped{{Change: c, Err: err}}, nil
		}
		done, skipped = append(done, d...), append(skipped, s...)
		if err != nil {
			return done, skipped, err
		}
	}
	return done, skipped, nil
}

func (k *fakeKnobs) Restore(changes []sysctl.Change) (errs []error) {
	for _, c := range slices.Backward(changes) {
		err := k.step("turn back "+c.Knob.String(), func() error {
			defer k.look(c.Knob)
			return errors.Join(k.fs().Restore([]sysctl.Change{c})...)
		})
		if err != nil {
			errs = append(errs, err)
		}
	}
	return errs
}

// fakeJournal keeps bytes, whole or not at all, and wants its lock.
type fakeJournal struct {
	*host
	data []byte
	held bool
	kept [][]byte
}

func (j *fakeJournal) Lock(context.Context) error {
	if j.held {
		return &state.LockedError{Path: "fake", Err: context.DeadlineExceeded}
	}
	j.held = true
	return nil
}

func (j *fakeJournal) Unlock() error {
	j.held = false
	return nil
}

func (j *fakeJournal) Load(body any) (state.Meta, error) {
	if j.data == nil {
		return state.Meta{}, state.ErrNone
	}
	dec := json.NewDecoder(bytes.NewReader(j.data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(body); err != nil {
		return state.Meta{}, &state.CorruptError{Why: state.WrongBody, Err: err}
	}
	return state.Meta{Version: state.Version}, nil
}

func (j *fakeJournal) Save(body any) error {
	if !j.held {
		return state.ErrNotLocked
	}
	data, err := json.Marshal(body)
	if err != nil {
		return err
	}
	return j.step("save", func() error { j.data = data; return nil })
}

func (j *fakeJournal) Remove() error {
	if !j.held {
		return state.ErrNotLocked
	}
	return j.step("forget", func() error { j.data = nil; return nil })
}

func (j *fakeJournal) Quarantine() (string, error) {
	if !j.held {
		return "", state.ErrNotLocked
	}
	j.kept, j.data = append(j.kept, j.data), nil
	return "kept", nil
}

// record is what is on disk; found is false without one.
func (j *fakeJournal) record() (rec Record, found bool) {
	if _, err := j.Load(&rec); err != nil {
		return Record{Phase: Steady}, false
	}
	return rec, true
}

type fakeLinks struct {
	*host
	list []link.Link
}

func (l *fakeLinks) List() ([]link.Link, error) { return slices.Clone(l.list), nil }

// RouteTo leads to eth0, with mark 7 to tun3, and nowhere for one prefix.
func (l *fakeLinks) RouteTo(addr netip.Addr, mark uint32) (int, error) {
	switch {
	case netip.MustParsePrefix("2001:db8:dead::/48").Contains(addr):
		return 0, unix.ENETUNREACH
	case mark == 7:
		return 13, nil
	}
	return 2, nil
}

type fakeClients struct{ alive map[int]uint64 }

func (c *fakeClients) Owner(pid int, _ []endpoint.Endpoint) (Found, error) {
	start, ok := c.alive[pid]
	if !ok {
		return Found{}, os.ErrNotExist
	}
	return Found{UIDs: []uint32{0}, Start: start}, nil
}

func (c *fakeClients) Alive(pid int, start uint64) bool {
	have, ok := c.alive[pid]
	return ok && have == start
}

func (c *fakeClients) Cgroup(string) (rules.Cgroup, error) { return rules.Cgroup{}, os.ErrNotExist }

type fakeResolver struct{}

func (fakeResolver) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	if host == "vpn.example" {
		return []netip.Addr{netip.MustParseAddr("203.0.113.10")}, nil
	}
	return nil, errors.New("no such host")
}
