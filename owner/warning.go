package owner

import (
	"slices"

	"golang.org/x/sys/unix"
)

// Weakness is a reason why an owner is less exact, or less lasting, than it looks.
type Weakness int

// The weaknesses. The zero value is one of an unnamed kind.
const (
	WeaknessUnnamed     Weakness = iota
	RootShared                   // uid 0 has many programs: give it a cgroup or a uid of its own
	UserShared                   // nobody and the like, dropped to by many services
	DropAhead                    // the next socket will be another uid's
	DropUnresolved               // the same, and that user could not be looked up
	MarkSpoofable                // whoever has CAP_NET_RAW can set a mark (Linux 5.17): only with the endpoint
	MarkUnreadable               // the sockets' marks could not be read
	KernelWireGuard              // outer packets have the inner program's owner, or none: a mark is needed
	KernelOpenVPN                // DCO: the same
	KernelOpenVPNLikely          // the device is not known, and DCO is not ruled out
	SocketsUnsure                // sockets were found by their remote, not as the process's own
	OtherNetNS                   // the process is not in our network namespace
	SettingsIncomplete           // part of the configuration could not be read
	NoCgroup                     // it is in the root cgroup, or in none
)

// Warning is one weakness of an owner.
type Warning struct {
	Weakness Weakness
	UID      uint32 // RootShared, UserShared, DropAhead
	User     string // DropAhead, DropUnresolved
	Mark     uint32 // MarkSpoofable
	Err      error  // DropUnresolved, SettingsIncomplete: why
}

// Evidence is what is known of a client.
type Evidence struct {
	Process  Process
	Found    Found
	Settings *Settings // of OpenVPN; nil for another client
	Kind     string    // of the tunnel device, as rtnetlink says; "" if not known
}

// nobodyUID is what Debian and systemd call nobody.
const nobodyUID = 65534

// Warnings returns the weaknesses of e, each once for each of its subjects.
func Warnings(e Evidence) []Warning {
	var all []Warning
	add := func(w Warning) {
		if !slices.ContainsFunc(all, func(have Warning) bool {
			return have.Weakness == w.Weakness && have.UID == w.UID && have.User == w.User && have.Mark == w.Mark && w.Err == nil
		}) {
			all = append(all, w)
		}
	}
	uids, _ := UIDs(e)
	for _, uid := range uids {
		switch uid {
		case 0:
			add(Warning{Weakness: RootShared})
		case nobodyUID:
			add(Warning{Weakness: UserShared, UID: uid})
		}
	}
	if e.Settings != nil {
		settingsWarnings(e, add)
	}
	for _, s := range e.Found.Sockets {
		switch {
		case !s.MarkKnown:
			add(Warning{Weakness: MarkUnreadable})
		case s.Mark != 0:
			add(Warning{Weakness: MarkSpoofable, Mark: s.Mark})
		}
	}
	switch e.Kind {
	case "wireguard":
		add(Warning{Weakness: KernelWireGuard})
	case "ovpn", "ovpn-dco": // in the kernel from 6.16; the module before
		add(Warning{Weakness: KernelOpenVPN})
	case "":
		if e.Settings != nil && !e.Settings.DisableDCO {
			add(Warning{Weakness: KernelOpenVPNLikely})
		}
	}
	if e.Found.Match == MatchRemote {
		add(Warning{Weakness: SocketsUnsure})
	}
	if !e.Process.OwnNetNS {
		add(Warning{Weakness: OtherNetNS})
	}
	if e.Process.Cgroup == "" || e.Process.Cgroup == "/" {
		add(Warning{Weakness: NoCgroup})
	}
	return all
}

func settingsWarnings(e Evidence, add func(Warning)) {
	if e.Settings.Mark != 0 {
		add(Warning{Weakness: MarkSpoofable, Mark: e.Settings.Mark})
	}
	if name := e.Settings.User; name != "" {
		uid, err := LookupUser(name)
		switch {
		case err != nil:
			add(Warning{Weakness: DropUnresolved, User: name, Err: err})
		case e.Process.UIDs != IDs{uid, uid, uid, uid}:
			add(Warning{Weakness: DropAhead, UID: uid, User: name})
		}
	}
	for _, u := range e.Settings.Unknown {
		add(Warning{Weakness: SettingsIncomplete, Err: u})
	}
}

// UIDs returns every uid that the client's sockets have or will have: that of
// the process, those of the sockets it holds open, and the one it will drop to.
// If that user cannot be looked up, the others come with the error.
func UIDs(e Evidence) ([]uint32, error) {
	uids := []uint32{e.Process.UIDs.FS, e.Process.UIDs.Effective}
	if e.Found.Match == MatchFile {
		for _, s := range e.Found.Sockets {
			uids = append(uids, s.UID)
		}
	}
	var err error
	if e.Settings != nil && e.Settings.User != "" {
		var uid uint32
		if uid, err = LookupUser(e.Settings.User); err == nil {
			uids = append(uids, uid)
		}
	}
	slices.Sort(uids)
	return slices.Compact(uids), err
}

// Has tells whether the process has the capability, such as [unix.CAP_NET_ADMIN].
func (p Process) Has(capability int) bool {
	return capability >= 0 && capability <= unix.CAP_LAST_CAP && p.CapEff>>uint(capability)&1 == 1
}
