package dns

import (
	"errors"
	"fmt"
	"slices"

	"github.com/vpnguard/vpnguard/internal/fault"
)

// resolvconf tells Debian's resolvconf or openresolv, which then write the file
// and tell local resolvers. All sessions are one record: openresolv shows the
// newest exclusive one only.
type resolvconf struct{ System }

// record has a name that Debian's interface order puts before all wires.
const record = "tun.vpnguard"

func (r resolvconf) prepare(_ *Saved, w Wish) (Saved, error) {
	return Saved{Record: entries(w)}, nil
}

func (r resolvconf) apply(s Saved) (Saved, error) {
	fault.Point("dns.resolvconf.before")
	// Exclusive leaves the LAN's resolvers out; Debian's resolvconf passes over it.
	err := r.call(s.Record, "-a", record, "-x")
	fault.Point("dns.resolvconf.after")
	return s, err
}

// verify looks at what programs read: the first server is ours, or a local
// resolver that was told.
func (r resolvconf) verify(s Saved) []string {
	text, err := r.readText(resolvConf)
	if err != nil {
		return []string{fmt.Sprintf("resolvers set by resolvconf cannot be seen: %v", err)}
	}
	list := nameservers(string(text))
	told := nameservers(string(s.Record))
	if len(list) == 0 || !list[0].IsLoopback() && !slices.Contains(told, list[0]) {
		return []string{fmt.Sprintf("%s does not name the resolvers that resolvconf was told", resolvConf)}
	}
	return nil
}

func (r resolvconf) restore(Saved) ([]string, error) {
	fault.Point("dns.resolvconf.removing")
	// -f: openresolv takes a record that is not there for a failure.
	err := r.call(nil, "-d", record, "-f")
	if errors.Is(err, ErrNoOwner) {
		return []string{"resolvconf is gone, and with it what it was told"}, nil
	}
	return nil, err
}

func (r resolvconf) call(input []byte, args ...string) error {
	name := r.resolvconfCommand()
	if name == "" {
		return fmt.Errorf("tell resolvconf: %w: its command is gone", ErrNoOwner)
	}
	return r.command(input, name, args...)
}
