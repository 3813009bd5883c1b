package dns

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/vpnguard/vpnguard/internal/fault"
)

// resolvconf tells Debian's resolvconf or openresolv, which then write the file
// and tell local resolvers. The record is named after the device, so that the
// interface order of both puts a tunnel's first, and it can stand beside one
// that the client itself made.
type resolvconf struct{ System }

func entryOf(dev string) string { return dev + ".vpnguard" }

func (r resolvconf) prepare(old *Saved, w Wish) (Saved, error) {
	var next Saved
	for _, l := range w.Links {
		next.Entries = append(next.Entries, entryOf(l.Dev))
	}
	if old != nil {
		for _, e := range slices.Concat(old.Entries, old.LeavingEntries) {
			if !slices.Contains(next.Entries, e) {
				next.LeavingEntries = append(next.LeavingEntries, e)
			}
		}
	}
	return next, nil
}

func (r resolvconf) apply(s Saved) (Saved, error) {
	if err := r.remove(s.LeavingEntries); err != nil {
		return s, err
	}
	for _, l := range s.Links {
		// openresolv: metric 0 is the strongest, exclusive leaves the LAN's
		// resolvers out. Debian's resolvconf passes over both.
		args := []string{"-a", entryOf(l.Dev), "-m", "0"}
		if l.All && len(s.Links) == 1 {
			args = append(args, "-x")
		}
		fault.Point("dns.resolvconf.before")
		if err := r.call(entries(Wish{Links: []Link{l}}), args...); err != nil {
			return s, err
		}
		fault.Point("dns.resolvconf.after")
	}
	s.LeavingEntries = nil
	return s, nil
}

// verify looks at what programs read: the first server is ours, or a local
// resolver that was told.
func (r resolvconf) verify(s Saved) []string {
	text, err := r.readText(resolvConf)
	if err != nil {
		return []string{fmt.Sprintf("resolvers set by resolvconf cannot be seen: %v", err)}
	}
	list := nameservers(string(text))
	ours := func(a netip.Addr) bool {
		return a.IsLoopback() || slices.ContainsFunc(s.Links, func(l Link) bool { return slices.Contains(l.Servers, a) })
	}
	if len(list) == 0 || !ours(list[0]) {
		return []string{fmt.Sprintf("%s does not name the resolvers that resolvconf was told", resolvConf)}
	}
	return nil
}

func (r resolvconf) restore(s Saved) ([]string, error) {
	return nil, r.remove(slices.Concat(s.LeavingEntries, s.Entries))
}

func (r resolvconf) remove(entries []string) error {
	for _, e := range entries {
		fault.Point("dns.resolvconf.removing")
		// -f: openresolv takes one that is not there for a failure.
		if err := r.call(nil, "-d", e, "-f"); err != nil {
			return err
		}
	}
	return nil
}

func (r resolvconf) call(input []byte, args ...string) error {
	name := r.resolvconfCommand()
	if name == "" {
		return fmt.Errorf("tell resolvconf: %w: its command is gone", ErrNoOwner)
	}
	return r.command(input, name, args...)
}
