package tests

import (
	"strings"
	"testing"
)

// Each law must be able to fail, and must not fail for what is right.
func TestImportLawsSeeWhatIsWrong(t *testing.T) {
	use := func(importPath, body string) string { return "package p\nimport \"" + importPath + "\"\n" + body }
	const xnetlink, unix, nftables = "github.com/vishvananda/netlink", "golang.org/x/sys/unix", "github.com/google/nftables"
	for _, c := range []struct {
		path, text string
		want       string // law that it breaks; empty: none
	}{
		{"rules/x.go", use("os", "var _ = os.Args"), "pure packages do no I/O"},
		{"rules/lower/x.go", use("net", "var _ net.Conn"), "pure packages do no I/O"},
		{"hook/x.go", use("net", "var _ = net.JoinHostPort"), ""},
		{"hook/x.go", use("net/http", "var _ = http.Get"), "pure packages do no I/O"},
		{"hook/openvpn/x.go", use("os/exec", "var _ *exec.Cmd"), "pure packages do no I/O"},
		{"config/x.go", use("syscall", "var _ = syscall.Open"), "pure packages do no I/O"},
		{"endpoint/x.go", use(unix, "var _ = unix.AF_INET"), "pure packages do no I/O"},
		{"rules/x.go", use("github.com/mdlayher/netlink", "var _ netlink.Conn"), "pure packages do no I/O"},
		{"rules/lower/x.go", use(unix, "var _ = unix.Socket"), "pure packages do no I/O"},
		{"rules/lower/x.go", use(unix, "var _ = unix.NFT_REG_1"), ""},
		{"rules/x.go", use("net/netip", "var _ netip.Addr"), ""},
		{"rules/x_test.go", use("os", "var _ = os.Args"), ""},
		{"rulesets/x.go", use("os", "var _ = os.Args"), ""},

		{"rules/x.go", use(module+"state", ""), "leaf packages know nothing of ours"},
		{"rules/x.go", use(module+"internal/fault", ""), "leaf packages know nothing of ours"},
		{"hook/x.go", use(module+"rules", ""), "leaf packages know nothing of ours"},
		{"config/x.go", use(module+"hook", ""), "leaf packages know nothing of ours"},
		{"endpoint/x.go", use(module+"internal/fault", ""), "leaf packages know nothing of ours"},
		{"owner/x.go", use(module+"rules", ""), "leaf packages know nothing of ours"},
		{"blocked/x.go", use(module+"endpoint", ""), "leaf packages know nothing of ours"},
		{"blocked/x_test.go", use(module+"lab", ""), ""},
		{"link/x.go", use(module+"guard", ""), "leaf packages know nothing of ours"},
		{"survey/x.go", use(module+"nft", ""), "leaf packages know nothing of ours"},
		{"state/x.go", use(module+"sysctl", ""), "leaf packages know nothing of ours"},
		{"state/x.go", use(module+"internal/fault", ""), ""},
		{"sysctl/x.go", use(module+"endpoint", ""), ""},
		{"rules/lower/x.go", use(module+"rules", ""), ""},
		{"guard/x.go", use(module+"state", ""), ""},

		{"confine/x.go", use(module+"tunnel", ""), "leaf packages know nothing of ours"},
		{"audit/catalogue/x.go", use(module+"lab", ""), "the audit's catalogue is data"},
		{"audit/catalogue/x.go", use("os", "var _ = os.Args"), "the audit's catalogue is data"},
		{"audit/catalogue/x.go", use(module+"audit/evidence", ""), ""},

		{"audit/verdict/x.go", use("os", "var _ = os.Args"), "pure packages do no I/O"},
		{"audit/report/x.go", use("net", "var _ net.Conn"), "pure packages do no I/O"},
		{"audit/verdict/x.go", use("net", "var _, _ = net.ParseMAC(\"\")"), ""},
		{"audit/bundle/x.go", use("os", "var _ = os.Args"), ""},
		{"audit/verdict/x.go", use(module+"lab/probe", ""), "an audit's verdicts share no code with what it sends and whom it audits"},
		{"audit/conclude/x.go", use(module+"rules", ""), "an audit's verdicts share no code with what it sends and whom it audits"},
		{"audit/bundle/x.go", use(module+"audit/scenario", ""), "an audit's verdicts share no code with what it sends and whom it audits"},
		{"audit/verdict/x.go", use(module+"lab/wire", ""), ""},
		{"audit/verdict/x_test.go", use(module+"lab", ""), ""},
		{"audit/scenario/x.go", use(module+"lab/probe", ""), ""},

		{"guard/x.go", use("github.com/alecthomas/kong", ""), "only cmd knows kong"},
		{"cmd/vpnguard/x.go", use("github.com/alecthomas/kong", ""), ""},
		{"guard/x.go", use(nftables, ""), "only nft and rules/lower know the netfilter library"},
		{"rules/x.go", use(nftables+"/expr", ""), "only nft and rules/lower know the netfilter library"},
		{"guard/x_test.go", use(nftables, ""), "only nft and rules/lower know the netfilter library"},
		{"nft/x.go", use(nftables+"/expr", ""), ""},

		{"tunnel/x.go", use("golang.zx2c4.com/wireguard/device", ""), "wireguard-go is for tests only"},
		{"tunnel/interop/x_test.go", use("golang.zx2c4.com/wireguard/device", ""), ""},
		{"tunnel/engine/x.go", use(module+"guard", ""), "leaf packages know nothing of ours"},
		{"tunnel/engine/x.go", use(module+"tunnel/key", ""), ""},

		{"tunnel/uapi/x.go", use("os", "func f() { os.Open(\"\") }"), "the tunnel's protocol server touches no file"},
		{"tunnel/uapi/x.go", use("os", "var _ = os.ErrPermission"), ""},
		{"tunnel/uapi/x.go", use("net", "func f() { net.Listen(\"unix\", \"\") }"), "the tunnel's protocol server touches no file"},
		{"tunnel/uapi/x.go", use("net", "var _ net.Listener"), ""},

		{"guard/x.go", use("os", "func f() { os.Exit(1) }"), "libraries do not exit"},
		{"guard/x.go", "package p\nimport o \"os\"\nvar f = o.Exit", "libraries do not exit"},
		{"guard/x.go", use("os", "func f() { os.Getpid() }"), ""},
		{"cmd/vpnguard/x.go", use("os", "func f() { os.Exit(1) }"), ""},
		{"guard/x.go", use("os/exec", "var _ = exec.Command(\"id\")"), "programs are run by tests only, ourselves by two files, a peer by one of them, and resolvconf by one"},
		{"cmd/vpnguard/x.go", use("os/exec", "var _ = exec.CommandContext"), "programs are run by tests only, ourselves by two files, a peer by one of them, and resolvconf by one"},
		{"lab/x.go", use("os/exec", "var _ = exec.Command(\"id\")"), ""},
		{"cmd/vpnguard/detach.go", use("os/exec", "var _ = exec.Command(\"id\")"), ""},
		{"cmd/vpnguard/audit_children.go", use("os/exec", "var _ = exec.Command(\"id\")"), ""},
		{"audit/host/x.go", use("os/exec", "var _ = exec.Command(\"id\")"), "programs are run by tests only, ourselves by two files, a peer by one of them, and resolvconf by one"},
		{"dns/command.go", use("os/exec", "var _ = exec.Command(\"id\")"), ""},
		{"dns/x.go", use("os/exec", "var _ = exec.Command(\"id\")"), "programs are run by tests only, ourselves by two files, a peer by one of them, and resolvconf by one"},
		{"dns/x.go", use(module+"guard", ""), "leaf packages know nothing of ours"},
		{"guard/x.go", use("github.com/godbus/dbus/v5", ""), "only dns knows the bus"},
		{"dns/x.go", use("github.com/godbus/dbus/v5", ""), ""},
		{"guard/x_test.go", use("os/exec", "var _ = exec.Command(\"id\")"), ""},

		{"link/x.go", use(xnetlink, "var _, _ = netlink.LinkList()"), "routing netlink goes by a handle"},
		{"lab/x_test.go", use(xnetlink, "func f() { netlink.RuleAdd(nil) }"), "routing netlink goes by a handle"},
		{"link/x.go", use(xnetlink, "func f(l netlink.Link) { h, _ := netlink.NewHandle(); h.LinkDel(l) }"), ""},
		{"nft/x.go", use("github.com/mdlayher/netlink", "var _, _ = netlink.Dial(0, nil)"), ""},

		{"nft/x.go", "package p\nfunc f(c conn) { c.FlushRuleset() }", "nobody's ruleset is flushed"},
		{"nft/x_test.go", "package p\nfunc f(c conn) { c.FlushRuleset() }", "nobody's ruleset is flushed"},
		{"nft/x.go", "package p\nfunc f(c conn) { c.FlushChain() }", ""},
	} {
		s, err := parse(c.path, []byte(c.text))
		if err != nil {
			t.Fatalf("%s: %v\n%s", c.path, err, c.text)
		}
		got := broken(s)
		switch {
		case c.want == "" && len(got) > 0:
			t.Errorf("%q is right, but: %q", c.text, got)
		case c.want != "" && (len(got) != 1 || !strings.HasPrefix(got[0], c.want+": ")):
			t.Errorf("%s with %q breaks %q, want %q", c.path, c.text, got, c.want)
		}
	}
}
