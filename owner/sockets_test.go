package owner

import (
	"errors"
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const (
	udpTable = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops\n" +
		"  1: 6501A8C0:C001 0A7100CB:04AA 07 00000000:00000000 00:00000000 00000000 65534        0 1001 2 0 0\n" +
		"  2: 00000000:0035 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 1002 2 0 0\n"
	udp6Table = "  sl  local_address                         remote_address                        st ...\n" +
		"  3: B80D0120000000000000000001000000:04AA 0000000000000000FFFF00000A7100CB:04AA 07 00000000:00000000 00:00000000 00000000  7 0 1003 2 0 0\n"
	emptyTable = "  sl  local_address\n"
)

func socketFiles() map[string]string {
	files := openvpnFiles()
	for name, text := range map[string]string{
		"net/udp": udpTable, "net/udp6": udp6Table, "net/tcp": emptyTable, "net/tcp6": emptyTable, "net/raw": emptyTable,
		"fd/0": "->/dev/null", "fd/5": "->socket:[1001]", "fd/6": "->socket:[1003]", "fd/7": "->socket:[9]",
	} {
		files["42/"+name] = text
	}
	return files
}

func TestSocketsOfAFixtureComeFromItsTables(t *testing.T) {
	got, err := Sockets(42, fixture(t, socketFiles()))
	must(t, err)
	ap := netip.MustParseAddrPort
	want := Found{Match: MatchFile, Sockets: []Socket{
		{Protocol: UDP, Local: ap("192.168.1.101:49153"), Remote: ap("203.0.113.10:1194"), UID: 65534, Inode: 1001},
		{Protocol: UDP, Local: ap("[2001:db8::1]:1194"), Remote: ap("203.0.113.10:1194"), UID: 7, Inode: 1003},
	}}
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })); diff != "" {
		t.Error(diff)
	}
}

func TestBrokenTablesAreErrors(t *testing.T) {
	for _, text := range []string{"x\n1 2 3\n", "x\n" + strings.Replace(udpTable, "6501A8C0", "6501A8", 1), "x\n 1: 0:0 0:0 7 0 0 0 0 0 0 0\n"} {
		if got, err := parseTable(text, UDP); err == nil {
			t.Errorf("%q: %+v", text, got)
		}
	}
}

func TestSocketsOfAChildHaveAddressesAndMarks(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	port := server(t)
	pid := startClient(t, port, 51820, 0)
	found, err := Sockets(pid, "")
	must(t, err)
	if found.Match != MatchFile || len(found.Sockets) != 3 {
		t.Fatalf("%+v", found)
	}
	remote := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(port))
	seen := map[string]int{}
	for _, s := range found.Sockets {
		if !s.MarkKnown || s.UID != 0 || s.Inode == 0 || s.Cgroup == 0 {
			t.Errorf("%+v", s)
		}
		if s.Remote == remote && s.Mark == 51820 {
			seen[s.Protocol.String()]++
		}
		if s.Remote.Port() == 0 && s.Mark == 0 && s.Protocol == UDP {
			seen["unconnected"]++
		}
	}
	if diff := cmp.Diff(map[string]int{"udp": 1, "tcp": 1, "unconnected": 1}, seen); diff != "" {
		t.Error(diff)
	}
	// The tables agree with sock_diag but for the marks.
	table, err := newProc(pid, "").tables(TCP)
	must(t, err)
	asked, err := diag(TCP)
	must(t, err)
	for _, s := range asked {
		s.Mark, s.MarkKnown, s.Cgroup = 0, false, 0
		found := false
		for _, other := range table {
			found = found || s == other
		}
		if !found {
			t.Errorf("%+v is in no table: %+v", s, table)
		}
	}
}

// The cgroup id that the kernel gives a socket is the one a rule compares.
func TestCgroupIDIsTheOneOfSockets(t *testing.T) {
	self, err := Discover(os.Getpid(), "")
	must(t, err)
	if !inNamespace(t) {
		return
	}
	found, err := Sockets(startClient(t, server(t), 0, 0), "")
	must(t, err)
	id, level, err := CgroupID(self.Cgroup, "")
	if errors.Is(err, ErrRootCgroup) {
		id = 1 // the kernel numbers the root so
	} else {
		must(t, err)
	}
	for _, s := range found.Sockets {
		if s.Cgroup != id {
			t.Errorf("socket is in cgroup %d, path %q is %d at level %d", s.Cgroup, self.Cgroup, id, level)
		}
	}
}

// A hardened unit: no CAP_NET_ADMIN for marks, no CAP_SYS_PTRACE for files.
func TestSocketsWithoutCapabilitiesSayWhatTheyDoNotKnow(t *testing.T) {
	if os.Getenv(childEnv) == "bare" {
		pid, port := fromStage(t)
		remote := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(port))
		if _, err := Sockets(pid, ""); !errors.Is(err, os.ErrPermission) {
			t.Errorf("without remotes: %v, want ErrPermission", err)
		}
		found, err := Sockets(pid, "", remote)
		if err != nil || found.Match != MatchRemote || len(found.Sockets) != 2 {
			t.Errorf("%+v, %v", found, err)
		}
		for _, s := range found.Sockets {
			if s.MarkKnown || s.Mark != 0 || s.Cgroup == 0 {
				t.Errorf("%+v", s)
			}
		}
		none := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.2"), uint16(port))
		if found, err := Sockets(pid, "", none); err != nil || found.Match != MatchNone {
			t.Errorf("another remote: %+v, %v", found, err)
		}
		p, err := Discover(pid, "")
		if err != nil || p.Exe != "" || p.OwnNetNS || len(p.Args) == 0 {
			t.Errorf("%+v, %v", p, err)
		}
		return
	}
	if !inNamespace(t) {
		return
	}
	port := server(t)
	bareStage(t, startClient(t, port, 7, 0), port)
}
