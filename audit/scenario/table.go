package scenario

// Listed is a scenario as people see it.
type Listed struct {
	ID, Variant, Title, Group string
}

// Name is the id and the variant.
func (l Listed) Name() string {
	return (&scenario{id: l.ID, variant: l.Variant}).name()
}

// List tells which scenarios there are.
func List() (all []Listed) {
	for _, s := range table() {
		all = append(all, Listed{s.id, s.variant, s.title, s.group.name})
	}
	return all
}

// table is all scenarios, by the laboratories that they share.
func table() (all []grouped) {
	for _, part := range []struct {
		group *group
		list  []*scenario
	}{
		{&group{name: "programs", shown: true}, programs()},
		{&group{name: "chatter", alone: true}, chatter()},
		{&group{name: "names"}, names()},
		{&group{name: "inbound"}, inbound()},
		{&group{name: "hostile LAN"}, hostile()},
		{&group{name: "IPv4 tunnel", alone: true, want: want{ipv4Only: true}, prepare: noIPv6Yet}, onlyIPv4()},
		{&group{name: "server by IPv6", want: want{v6Server: true}}, byIPv6()},
		{&group{name: "forged server", want: want{remote: forgedServer, name: "vpn.example"}, prepare: forgeServer}, forged()},
		{&group{name: "old flows", alone: true, late: true}, survivors()},
		{&group{name: "another firewall", prepare: earlyAccept}, shadowed()},
		{&group{name: "routed guest", prepare: routedGuest}, guests()},
		{&group{name: "macvlan guest", resident: macvlanResident, prepare: macvlanGuest}, macvlans()},
		{&group{name: "bridged guest", resident: bridgedResident, prepare: bridgedGuest}, bridged()},
		{&group{name: "life", alone: true}, life()},
		{&group{name: "lost server", alone: true, want: want{keepalive: true}}, lost()},
		{&group{name: "two servers", alone: true, want: want{second: true}}, rotation()},
		{&group{name: "before the tunnel", alone: true, late: true}, before()},
		{&group{name: "guardian", alone: true, late: true}, guardian()},
	} {
		for _, s := range part.list {
			all = append(all, grouped{s, part.group})
		}
	}
	return all
}

// tries is a scenario that runs probes of the client.
func tries(id, variant, title, rule string, names ...string) *scenario {
	return &scenario{id: id, variant: variant, title: title, rule: rule, run: func(t *trial) error { return t.probes(names...) }}
}

// asRoot is the same as root where the probes would take an ordinary user.
func asRoot(id, variant, title, rule string, names ...string) *scenario {
	return &scenario{id: id, variant: variant, title: title, rule: rule, run: func(t *trial) error {
		for _, n := range names {
			if err := t.probe(n, probed{root: true}); err != nil {
				return err
			}
		}
		return nil
	}}
}

// among needs more uids than one.
func (s *scenario) among() *scenario {
	s.uids = true
	return s
}
