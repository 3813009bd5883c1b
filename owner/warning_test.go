package owner

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestWarningsNameEachWeakness(t *testing.T) {
	unit := Process{UIDs: IDs{900, 900, 900, 900}, OwnNetNS: true, Cgroup: "/system.slice/vpn.service"}
	root := unit
	root.UIDs = IDs{}
	marked := Socket{Mark: 51820, MarkKnown: true, UID: 900}
	for _, tt := range []struct {
		name string
		e    Evidence
		want []Warning
	}{
		{"dedicated user", Evidence{Process: unit, Kind: "tun", Found: Found{Match: MatchFile, Sockets: []Socket{{MarkKnown: true, UID: 900}}}}, nil},
		{"root", Evidence{Process: root, Kind: "tun"}, []Warning{{Weakness: RootShared}}},
		{"root's socket after the drop", Evidence{Process: unit, Kind: "tun", Found: Found{Match: MatchFile, Sockets: []Socket{{MarkKnown: true}}}},
			[]Warning{{Weakness: RootShared}}},
		{"drop ahead", Evidence{Process: root, Kind: "tun", Settings: &Settings{User: "4711"}},
			[]Warning{{Weakness: RootShared}, {Weakness: DropAhead, UID: 4711, User: "4711"}}},
		{"dropped already", Evidence{Process: unit, Kind: "tun", Settings: &Settings{User: "900"}}, nil},
		{"drop to nobody", Evidence{Process: unit, Kind: "tun", Settings: &Settings{User: "65534"}},
			[]Warning{{Weakness: UserShared, UID: 65534}, {Weakness: DropAhead, UID: 65534, User: "65534"}}},
		{"drop to a stranger", Evidence{Process: unit, Kind: "tun", Settings: &Settings{User: "no-such-user"}},
			[]Warning{{Weakness: DropUnresolved, User: "no-such-user", Err: cmpopts.AnyError}}},
		{"mark", Evidence{Process: unit, Kind: "tun", Settings: &Settings{Mark: 51820}, Found: Found{Match: MatchFile, Sockets: []Socket{marked, marked}}},
			[]Warning{{Weakness: MarkSpoofable, Mark: 51820}}},
		{"marks unreadable", Evidence{Process: unit, Kind: "tun", Found: Found{Match: MatchRemote, Sockets: []Socket{{UID: 0}}}},
			[]Warning{{Weakness: MarkUnreadable}, {Weakness: SocketsUnsure}}},
		{"kernel wireguard", Evidence{Process: unit, Kind: "wireguard"}, []Warning{{Weakness: KernelWireGuard}}},
		{"dco", Evidence{Process: unit, Kind: "ovpn-dco", Settings: &Settings{}}, []Warning{{Weakness: KernelOpenVPN}}},
		{"dco perhaps", Evidence{Process: unit, Settings: &Settings{}}, []Warning{{Weakness: KernelOpenVPNLikely}}},
		{"dco ruled out", Evidence{Process: unit, Settings: &Settings{DisableDCO: true}}, nil},
		{"unknown settings", Evidence{Process: unit, Kind: "tun", Settings: &Settings{Unknown: []Unknown{{Err: errors.New("x")}}}},
			[]Warning{{Weakness: SettingsIncomplete, Err: cmpopts.AnyError}}},
		{"nothing known", Evidence{Process: Process{UIDs: IDs{5, 5, 5, 5}}}, []Warning{{Weakness: OtherNetNS}, {Weakness: NoCgroup}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, Warnings(tt.e), cmpopts.EquateErrors()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestUIDsAreThoseNowAndAfterTheDrop(t *testing.T) {
	e := Evidence{
		Process:  Process{UIDs: IDs{1, 2, 3, 2}},
		Found:    Found{Match: MatchFile, Sockets: []Socket{{UID: 0}, {UID: 2}}},
		Settings: &Settings{User: "65534"},
	}
	got, err := UIDs(e)
	if diff := cmp.Diff([]uint32{0, 2, 65534}, got); diff != "" || err != nil {
		t.Errorf("%v %s", err, diff)
	}
	e.Found.Match = MatchRemote // perhaps another process's socket: no reason to let its user in
	e.Settings.User = "no-such-user"
	got, err = UIDs(e)
	if diff := cmp.Diff([]uint32{2}, got); diff != "" || err == nil {
		t.Errorf("%v %s", err, diff)
	}
}
