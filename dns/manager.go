package dns

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/godbus/dbus/v5"

	"github.com/vpnguard/vpnguard/internal/fault"
)

// manager tells NetworkManager by its global DNS configuration: it stays the
// author of the file, whatever leases come and go, and tells its own local
// resolvers. The tunnel's device, which it may not even manage, is not touched:
// to set a device's resolvers it would have to be given the device as a whole.
// The setting replaces the resolvers of all connections and outlives a boot.
type manager struct{ System }

const (
	managerPath  = dbus.ObjectPath("/org/freedesktop/NetworkManager")
	globalConfig = "GlobalDnsConfiguration"
)

// managerState is the configuration before us and ours.
type managerState struct {
	Before globalDNS `json:"before"`
	// Ours are what we may have set, the last one if all went well.
	Ours []globalDNS `json:"ours"`
}

// globalDNS is a{sv} with "searches" and "options" (as) and "domains" (a{sv}
// of a{sv} with "servers" and "options"). Domain "*" is for every name.
type globalDNS struct {
	Searches []string                `json:"searches"`
	Options  []string                `json:"options"`
	Domains  map[string]globalDomain `json:"domains"`
}

type globalDomain struct {
	Servers []string `json:"servers"`
	Options []string `json:"options"`
}

func (m manager) prepare(old *Saved, w Wish) (Saved, error) {
	before, err := m.read()
	if err != nil {
		return Saved{}, err
	}
	var ours []globalDNS
	if old != nil && old.Manager != nil {
		ours = old.Manager.Ours
		if old.Manager.ours(before) {
			before = old.Manager.Before
		}
	}
	want := globalDNS{Searches: w.search(), Domains: map[string]globalDomain{}}
	all := globalDomain{}
	for _, a := range w.servers() {
		all.Servers = append(all.Servers, a.String())
	}
	want.Domains["*"] = all
	return Saved{Manager: &managerState{before, append(ours[:len(ours):len(ours)], want)}}, nil
}

func (m manager) apply(s Saved) (Saved, error) {
	want := s.Manager.Ours[len(s.Manager.Ours)-1]
	fault.Point("dns.manager.before")
	if err := m.write(want); err != nil {
		return s, err
	}
	fault.Point("dns.manager.after")
	s.Manager = &managerState{s.Manager.Before, []globalDNS{want}}
	return s, nil
}

func (m manager) verify(s Saved) []string {
	now, err := m.read()
	if err != nil {
		return []string{err.Error()}
	}
	if !now.equal(s.Manager.Ours[len(s.Manager.Ours)-1]) {
		return []string{"NetworkManager has another global DNS configuration than was set"}
	}
	return nil
}

func (m manager) restore(s Saved) ([]string, error) {
	now, err := m.read()
	if err != nil {
		return nil, err
	}
	if !s.Manager.ours(now) {
		if now.equal(s.Manager.Before) {
			return nil, nil
		}
		return []string{"NetworkManager's global DNS configuration was changed by somebody else since; it is left as it is"}, nil
	}
	fault.Point("dns.restore.before")
	if err := m.write(s.Manager.Before); err != nil {
		return nil, err
	}
	fault.Point("dns.restore.after")
	return nil, nil
}

func (s *managerState) ours(now globalDNS) bool {
	for _, o := range s.Ours {
		if now.equal(o) {
			return true
		}
	}
	return false
}

// equal compares without the difference of nothing and empty.
func (g globalDNS) equal(o globalDNS) bool {
	return slices.Equal(g.Searches, o.Searches) && slices.Equal(g.Options, o.Options) &&
		maps.EqualFunc(g.Domains, o.Domains, func(a, b globalDomain) bool {
			return slices.Equal(a.Servers, b.Servers) && slices.Equal(a.Options, b.Options)
		})
}

// variants leaves out what is empty, as NetworkManager does.
func (g globalDNS) variants() map[string]dbus.Variant {
	out := map[string]dbus.Variant{}
	put := func(to map[string]dbus.Variant, key string, list []string) {
		if len(list) > 0 {
			to[key] = dbus.MakeVariant(list)
		}
	}
	put(out, "searches", g.Searches)
	put(out, "options", g.Options)
	domains := map[string]dbus.Variant{}
	for name, d := range g.Domains {
		of := map[string]dbus.Variant{}
		put(of, "servers", d.Servers)
		put(of, "options", d.Options)
		domains[name] = dbus.MakeVariant(of)
	}
	if len(domains) > 0 {
		out["domains"] = dbus.MakeVariant(domains)
	}
	return out
}

func (m manager) write(g globalDNS) error {
	err := m.onBus(func(ctx context.Context, conn *dbus.Conn) error {
		return conn.Object(managerName, managerPath).CallWithContext(ctx, "org.freedesktop.DBus.Properties.Set", dbus.FlagNoAutoStart,
			managerName, globalConfig, dbus.MakeVariant(g.variants())).Err
	})
	if err != nil {
		return fmt.Errorf("set NetworkManager's global DNS configuration (it refuses where its own files set one): %w", err)
	}
	return nil
}

func (m manager) read() (g globalDNS, err error) {
	var v dbus.Variant
	err = m.onBus(func(ctx context.Context, conn *dbus.Conn) error {
		return conn.Object(managerName, managerPath).CallWithContext(ctx, "org.freedesktop.DBus.Properties.Get", dbus.FlagNoAutoStart,
			managerName, globalConfig).Store(&v)
	})
	if err != nil {
		return g, fmt.Errorf("read NetworkManager's global DNS configuration: %w", err)
	}
	top, ok := v.Value().(map[string]dbus.Variant)
	if !ok {
		return g, fmt.Errorf("read NetworkManager's global DNS configuration: it is %s, not a dictionary", v.Signature())
	}
	g.Searches, g.Options = texts(top["searches"]), texts(top["options"])
	domains, _ := top["domains"].Value().(map[string]dbus.Variant)
	for name, d := range domains {
		if g.Domains == nil {
			g.Domains = map[string]globalDomain{}
		}
		of, _ := d.Value().(map[string]dbus.Variant)
		g.Domains[name] = globalDomain{texts(of["servers"]), texts(of["options"])}
	}
	return g, nil
}

func texts(v dbus.Variant) []string {
	list, _ := v.Value().([]string)
	return list
}
