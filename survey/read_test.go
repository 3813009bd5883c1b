package survey

import (
	"errors"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// files makes a root directory. A content that begins with "-> " is a link.
func files(t *testing.T, content map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range content {
		at := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		if target, ok := strings.CutPrefix(text, "-> "); ok {
			err = os.Symlink(target, at)
		} else {
			err = os.WriteFile(at, []byte(text), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// read demands that everything could be read.
func read(t *testing.T, content map[string]string) Host {
	t.Helper()
	var h Host
	h.ReadFiles(files(t, content))
	if len(h.Unread) > 0 {
		t.Fatalf("unread: %v", h.Unread)
	}
	return h
}

var compare = cmpopts.EquateComparable(netip.Addr{})

func TestAnEmptyRootHasNothingAndIsReadWhole(t *testing.T) {
	if diff := cmp.Diff(Host{Files: Files{Knobs: map[string]string{}}}, read(t, nil), compare); diff != "" {
		t.Error(diff)
	}
}

const debianNftables = "#!/usr/sbin/nft -f\n\nflush ruleset\n\ntable inet filter {\n\tchain input {\n\t\ttype filter hook input priority filter;\n\t}\n}\n"

func TestReloadFindsTheFileThatFlushesEverything(t *testing.T) {
	const wanted = "/etc/systemd/system/sysinit.target.wants/nftables.service"
	for name, c := range map[string]struct {
		files map[string]string
		want  Reload
	}{
		"Debian, enabled":     {map[string]string{"/etc/nftables.conf": debianNftables, wanted: "-> /lib/systemd/system/nftables.service"}, Reload{"/etc/nftables.conf", true}},
		"Debian, not enabled": {map[string]string{"/etc/nftables.conf": debianNftables}, Reload{"/etc/nftables.conf", false}},
		"in a comment":        {map[string]string{"/etc/nftables.conf": "# flush ruleset\ntable inet x { } # flush ruleset\n", wanted: "x"}, Reload{"", true}},
		"odd spaces":          {map[string]string{"/etc/nftables.conf": "\tadd table x; flush \t ruleset inet\n"}, Reload{"/etc/nftables.conf", false}},
		"in an included file": {map[string]string{"/etc/nftables.conf": "include \"/etc/nftables.d/*.nft\"\n", "/etc/nftables.d/a.nft": "table x\n", "/etc/nftables.d/b.nft": "flush ruleset\n"}, Reload{"/etc/nftables.d/b.nft", false}},
		"includes itself":     {map[string]string{"/etc/nftables.conf": "include 'nftables.conf';\n"}, Reload{}},
		"Fedora, by the unit": {map[string]string{"/etc/sysconfig/nftables.conf": "# nothing\n", "/usr/lib/systemd/system/nftables.service": "[Service]\nExecReload=/sbin/nft 'flush ruleset; include \"/etc/sysconfig/nftables.conf\";'\n"}, Reload{"/usr/lib/systemd/system/nftables.service", false}},
	} {
		if got := read(t, c.files).Files.Reload; got != c.want {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
}

func TestResolvIsReadThroughLinks(t *testing.T) {
	const text = "# made by a program\nnameserver 192.168.1.1\nnameserver fe80::1%eth0\noptions edns0\nsearch lan\nnameserver nonsense\n"
	servers := []netip.Addr{addr("192.168.1.1"), addr("fe80::1%eth0")}
	for name, c := range map[string]struct {
		files map[string]string
		want  Resolv
	}{
		"file":          {map[string]string{"/etc/resolv.conf": text}, Resolv{Exists: true, Servers: servers}},
		"relative link": {map[string]string{"/etc/resolv.conf": "-> ../run/x/resolv.conf", "/run/x/resolv.conf": text}, Resolv{Exists: true, Target: "../run/x/resolv.conf", Servers: servers}},
		"absolute link": {map[string]string{"/etc/resolv.conf": "-> /run/x/resolv.conf", "/run/x/resolv.conf": text}, Resolv{Exists: true, Target: "/run/x/resolv.conf", Servers: servers}},
		"dangling link": {map[string]string{"/etc/resolv.conf": "-> /run/x/resolv.conf"}, Resolv{Exists: true, Target: "/run/x/resolv.conf"}},
	} {
		if diff := cmp.Diff(c.want, read(t, c.files).Files.Resolv, compare); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestHostsLineIsReadWithoutActions(t *testing.T) {
	h := read(t, map[string]string{"/etc/nsswitch.conf": "passwd: files systemd\n#hosts: nis\n hosts:\tfiles mdns4_minimal [NOTFOUND=return] resolve [!UNAVAIL=return] dns myhostname # end\n"})
	if want := []string{"files", "mdns4_minimal", "resolve", "dns", "myhostname"}; !slices.Equal(h.Files.Hosts, want) {
		t.Errorf("%q, want %q", h.Files.Hosts, want)
	}
}

func TestConnectivityFollowsNetworkManagersOrder(t *testing.T) {
	const vendor, own = "/usr/lib/NetworkManager/conf.d/20-connectivity.conf", "/etc/NetworkManager/conf.d/"
	const check = "[main]\nuri=http://other.example/\n[connectivity]\nuri=http://check.example/\ninterval=300\n"
	for name, c := range map[string]struct {
		files map[string]string
		want  Connectivity
	}{
		"the distribution's":    {map[string]string{vendor: check}, Connectivity{"http://check.example/", vendor}},
		"hidden by the user":    {map[string]string{vendor: check, own + "20-connectivity.conf": ""}, Connectivity{}},
		"turned off":            {map[string]string{vendor: check, own + "99-off.conf": "[connectivity]\nenabled=false\n"}, Connectivity{}},
		"turned off in comment": {map[string]string{vendor: check, own + "99-off.conf": "[connectivity]\n#enabled=false\n"}, Connectivity{"http://check.example/", vendor}},
		"the user's":            {map[string]string{vendor: check, own + "30-mine.conf": "[connectivity]\nuri = http://mine.example/\n"}, Connectivity{"http://mine.example/", own + "30-mine.conf"}},
		"in the main file":      {map[string]string{"/etc/NetworkManager/NetworkManager.conf": check}, Connectivity{"http://check.example/", "/etc/NetworkManager/NetworkManager.conf"}},
		"an empty address":      {map[string]string{vendor: check, own + "30.conf": "[connectivity]\nuri=\n"}, Connectivity{}},
		"no section":            {map[string]string{vendor: "[main]\ndns=none\n"}, Connectivity{}},
	} {
		if got := read(t, c.files).Files.Connectivity; got != c.want {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
}

func TestTimeServersAreReadOfEachProgram(t *testing.T) {
	h := read(t, map[string]string{
		"/etc/systemd/timesyncd.conf":        "[Time]\nNTP=192.168.1.1 ntp.example\n#NTP=10.0.0.1\n",
		"/etc/chrony/chrony.conf":            "pool 2.example iburst\nserver 10.1.2.3 iburst\n",
		"/etc/chrony/sources.d/dhcp.sources": "server 192.168.1.2\n",
	})
	want := []TimeServer{{addr("192.168.1.1"), "/etc/systemd/timesyncd.conf"}, {addr("10.1.2.3"), "/etc/chrony/chrony.conf"}, {addr("192.168.1.2"), "/etc/chrony/sources.d/dhcp.sources"}}
	if diff := cmp.Diff(want, h.Files.Time, compare); diff != "" {
		t.Error(diff)
	}
}

func TestSocketsKnobsAndLegacyTablesAreRead(t *testing.T) {
	h := read(t, map[string]string{
		"/run/nscd/socket": "", "/run/systemd/resolve/io.systemd.Resolve": "", "/run/docker.sock": "",
		"/proc/sys/net/ipv4/ip_forward": "1\n", "/proc/sys/net/ipv4/conf/default/rp_filter": "2\n",
		"/proc/net/ip_tables_names": "nat\nfilter\n", "/proc/net/ip6_tables_names": "", "/proc/net/arp_tables_names": "filter\n",
	})
	want := Host{
		Files: Files{
			Sockets: []string{"/run/nscd/socket", "/run/systemd/resolve/io.systemd.Resolve"}, Docker: true,
			Knobs: map[string]string{"ipv4/ip_forward": "1", "ipv4/conf/default/rp_filter": "2"},
		},
		Legacy: []string{"arp filter", "ip filter", "ip nat"},
	}
	if diff := cmp.Diff(want, h, compare); diff != "" {
		t.Error(diff)
	}
}

// Lines of a real /proc/net of a little-endian machine.
const (
	procUDP = `   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops
  351: 3500007F:0035 00000000:0000 07 00000000:00000000 00:00000000 00000000   101        0 8801 2 00000000f2d0f9a5 0
  352: 0100007F:0143 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 8802 2 00000000f2d0f9a5 0
  353: 0101A8C0:A123 0100A8C0:0035 01 00000000:00000000 00:00000000 00000000  1000        0 8803 2 00000000f2d0f9a5 0
`
	procTCP6 = `  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000000000000000000001000000:0035 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 8804 1 0000000000000000 100 0 0 10 0
   1: 00000000000000000000000001000000:0035 00000000000000000000000001000000:9C40 01 00000000:00000000 00:00000000 00000000     0        0 8805 1 0000000000000000 100 0 0 10 0
`
)

func TestListenersAreReadFromProc(t *testing.T) {
	h := read(t, map[string]string{
		"/proc/net/udp": procUDP, "/proc/net/tcp6": procTCP6,
		"/proc/77/comm": "unbound\n", "/proc/77/fd/3": "-> socket:[8804]", "/proc/77/fd/4": "-> socket:[1]",
	})
	want := []Listener{
		{Addr: addr("127.0.0.53"), Proto: "udp", UID: 101},
		{Addr: addr("::1"), Proto: "tcp", Program: "unbound"},
	}
	if diff := cmp.Diff(want, h.Listeners, compare); diff != "" {
		t.Error(diff)
	}
}

// The test's own sockets, by the kernel's own words.
func TestListenersMatchTheKernelsWords(t *testing.T) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	text, err := os.ReadFile("/proc/self/net/tcp")
	if err != nil {
		t.Fatal(err)
	}
	want := l.Addr().(*net.TCPAddr).AddrPort()
	for _, line := range strings.Split(string(text), "\n")[1:] {
		w := strings.Fields(line)
		if len(w) > 3 && w[3] == tcpListen {
			if got, err := socketAddress(w[1]); err == nil && got == want {
				return
			}
		}
	}
	t.Errorf("no line is %s:\n%s", want, text)
}

func TestWhatCannotBeReadIsSaid(t *testing.T) {
	root := files(t, map[string]string{"/proc/net/udp": "head\n 1: zz:0035 0:0 07 0 0 0 0 0 0 1\n"})
	unreadable := []string{
		"/etc/nftables.conf", "/etc/resolv.conf", "/etc/nsswitch.conf", "/etc/systemd/timesyncd.conf", "/etc/chrony.conf",
		"/etc/NetworkManager/NetworkManager.conf", "/proc/net/ip_tables_names", "/proc/net/tcp", "/proc/sys/net/ipv4/ip_forward",
	}
	for _, name := range unreadable { // root may read everything, but no directory as a file
		if err := os.MkdirAll(filepath.Join(root, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	// A directory of settings that is a file cannot be listed.
	if err := os.WriteFile(filepath.Join(root, "/etc/NetworkManager/conf.d"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	var h Host
	h.ReadFiles(root)
	seen := map[string]bool{}
	for _, u := range h.Unread {
		if u.Err == nil || errors.Is(u.Err, fs.ErrNotExist) || strings.Contains(u.Err.Error(), root) {
			t.Errorf("%s: %v", u.What, u.Err)
		}
		seen[u.What] = true
	}
	for _, name := range append(unreadable, "/proc/net/udp", "/etc/NetworkManager/conf.d") {
		if !seen[name] {
			t.Errorf("nothing is said of %s", name)
		}
	}
	if n := len(Judge(h)); n != len(h.Unread) {
		t.Errorf("%d findings of %d things that could not be read: %+v", n, len(h.Unread), Judge(h))
	}
}
