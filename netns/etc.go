package netns

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
)

// etcDir holds the files that take the place of the host's in /etc.
func (p Page) etcDir() string { return filepath.Join(p.dir, "etc") }

// WriteEtc writes the files that programs inside see in /etc. They are written
// into, not replaced: programs that run already see the change.
func (p Page) WriteEtc(resolvers []netip.Addr, domains []string) error {
	hosts, err := os.ReadFile("/etc/hosts")
	if err != nil {
		hosts = []byte("127.0.0.1\tlocalhost\n::1\tlocalhost\n")
	}
	nsswitch, _ := os.ReadFile("/etc/nsswitch.conf") // without one, everything has its default
	if err := os.MkdirAll(p.etcDir(), 0o755); err != nil {
		return fmt.Errorf("make the files of namespace %q: %w", p.Name, err)
	}
	for name, text := range map[string]string{
		"hosts": string(hosts), "nsswitch.conf": nsswitchText(string(nsswitch)), "resolv.conf": resolvText(resolvers, domains),
	} {
		if err := os.WriteFile(filepath.Join(p.etcDir(), name), []byte(text), 0o644); err != nil {
			return fmt.Errorf("make the files of namespace %q: %w", p.Name, err)
		}
	}
	return nil
}

// resolvText is a resolv.conf. Without a resolver the C library asks 127.0.0.1,
// which nobody is inside.
func resolvText(resolvers []netip.Addr, domains []string) string {
	var b strings.Builder
	b.WriteString("# of this namespace's tunnel, by vpnguard\n")
	for _, a := range resolvers {
		fmt.Fprintf(&b, "nameserver %s\n", a)
	}
	var search []string
	for _, d := range domains {
		if !strings.HasPrefix(d, "~") { // asked of these resolvers, but not searched
			search = append(search, d)
		}
	}
	if len(search) > 0 {
		fmt.Fprintf(&b, "search %s\n", strings.Join(search, " "))
	}
	return b.String()
}

// nsswitchText is the host's, but that names of hosts are asked of nobody who
// would ask outside: not nss-resolve, not mDNS, not a directory service.
func nsswitchText(host string) string {
	var b strings.Builder
	for line := range strings.Lines(host) {
		if database, _, ok := strings.Cut(strings.TrimSpace(line), ":"); ok && strings.TrimSpace(database) == "hosts" {
			continue
		}
		b.WriteString(strings.TrimRight(line, "\n") + "\n")
	}
	return b.String() + "hosts: files dns\n"
}
