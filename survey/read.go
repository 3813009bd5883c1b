package survey

import (
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// tree reads files below a root directory.
type tree struct {
	root   string
	unread []Unread
}

// ReadFiles reads what files below root tell, and who listens on port 53. Root
// is "/" but in tests. It changes nothing of h but Files, Legacy, Listeners,
// Services and Unread.
func (h *Host) ReadFiles(root string) {
	t := &tree{root: root}
	h.Files = Files{
		Reload:       t.reload(),
		Resolv:       t.resolv(),
		Hosts:        t.hostsLine(),
		Connectivity: t.connectivity(),
		Time:         t.timeServers(),
		Knobs:        t.knobs(),
		Docker:       t.exists("/run/docker.sock"),
	}
	for s := range resolverSockets {
		if t.exists(s) {
			h.Files.Sockets = append(h.Files.Sockets, s)
		}
	}
	slices.Sort(h.Files.Sockets)
	h.Legacy = t.legacy()
	h.Listeners, h.Services = t.listeners()
	h.Unread = append(h.Unread, t.unread...)
}

// miss notes what could not be read. What is not there was read.
func (t *tree) miss(what string, err error) {
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.unread = append(t.unread, Unread{what, bare(err)})
	}
}

// bare is the error without the path, which the words around it name.
func bare(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

func (t *tree) path(name string) string { return filepath.Join(t.root, name) }

// text is a file's content; empty if there is none.
func (t *tree) text(name string) string {
	data, err := os.ReadFile(t.path(name))
	t.miss(name, err)
	return string(data)
}

func (t *tree) exists(name string) bool {
	_, err := os.Lstat(t.path(name))
	t.miss(name, err)
	return err == nil
}

// glob lists what exists of a pattern below the root, in order. Unlike
// [filepath.Glob] it tells of directories that it may not read.
func (t *tree) glob(pattern string) []string {
	found := []string{""}
	for _, part := range strings.Split(strings.Trim(pattern, "/"), "/") {
		var next []string
		for _, dir := range found {
			if !strings.ContainsAny(part, "*?[") {
				if t.exists(dir + "/" + part) {
					next = append(next, dir+"/"+part)
				}
				continue
			}
			entries, err := os.ReadDir(t.path(dir))
			t.miss(dir, err)
			for _, e := range entries {
				if ok, err := path.Match(part, e.Name()); ok && err == nil {
					next = append(next, dir+"/"+e.Name())
				}
			}
		}
		found = next
	}
	return found
}

// reload finds the file of nftables.service that flushes everything.
func (t *tree) reload() Reload {
	r := Reload{Enabled: len(t.glob("/etc/systemd/system/*.wants/nftables.service")) > 0}
	for _, name := range []string{
		"/etc/nftables.conf", "/etc/sysconfig/nftables.conf",
		"/etc/systemd/system/nftables.service", "/usr/lib/systemd/system/nftables.service", "/lib/systemd/system/nftables.service",
	} {
		if found := t.flushes(name, map[string]bool{}); found != "" {
			r.File = found
			return r
		}
	}
	return r
}

// flushes is the file that flushes the ruleset: this one or one that it
// includes. Each is read once, for files may include each other.
func (t *tree) flushes(name string, seen map[string]bool) string {
	if seen[name] {
		return ""
	}
	seen[name] = true
	for line := range strings.Lines(t.text(name)) {
		line, _, _ = strings.Cut(strings.TrimSpace(line), "#")
		if strings.Contains(strings.Join(strings.Fields(line), " "), "flush ruleset") {
			return name
		}
		arg, ok := strings.CutPrefix(line, "include ")
		if !ok {
			continue
		}
		pattern := strings.Trim(strings.TrimRight(strings.TrimSpace(arg), ";"), `"' `)
		if !path.IsAbs(pattern) {
			pattern = path.Join("/etc", pattern)
		}
		for _, included := range t.glob(pattern) {
			if found := t.flushes(included, seen); found != "" {
				return found
			}
		}
	}
	return ""
}

// resolv reads /etc/resolv.conf, through a link.
func (t *tree) resolv() Resolv {
	const name = "/etc/resolv.conf"
	var r Resolv
	info, err := os.Lstat(t.path(name))
	if err != nil {
		t.miss(name, err)
		return r
	}
	r.Exists = true
	at := name
	if info.Mode()&fs.ModeSymlink != 0 {
		if r.Target, err = os.Readlink(t.path(name)); err != nil {
			t.miss(name, err)
			return r
		}
		if at = r.Target; !path.IsAbs(at) {
			at = path.Join("/etc", at)
		}
	}
	for line := range strings.Lines(t.text(at)) {
		f := strings.Fields(line)
		if len(f) < 2 || f[0] != "nameserver" {
			continue
		}
		if a, err := netip.ParseAddr(f[1]); err == nil {
			r.Servers = append(r.Servers, a.Unmap())
		}
	}
	return r
}

// hostsLine is where names of hosts are looked up, without the actions in brackets.
func (t *tree) hostsLine() []string {
	for line := range strings.Lines(t.text("/etc/nsswitch.conf")) {
		line, _, _ = strings.Cut(line, "#")
		rest, ok := strings.CutPrefix(strings.TrimSpace(line), "hosts:")
		if !ok {
			continue
		}
		var sources []string
		for _, f := range strings.Fields(rest) {
			if !strings.HasPrefix(f, "[") && !strings.HasSuffix(f, "]") {
				sources = append(sources, f)
			}
		}
		return sources
	}
	return nil
}

// knobPaths are below /proc/sys/net.
var knobPaths = []string{
	"ipv4/conf/default/rp_filter", "ipv4/ip_forward", "ipv6/conf/all/forwarding", "bridge/bridge-nf-call-iptables",
}

func (t *tree) knobs() map[string]string {
	values := map[string]string{}
	for _, k := range knobPaths {
		if v := strings.TrimSpace(t.text("/proc/sys/net/" + k)); v != "" {
			values[k] = v
		}
	}
	return values
}

// legacy lists the tables that the old iptables has in the kernel.
func (t *tree) legacy() []string {
	var all []string
	for file, family := range map[string]string{"ip_tables_names": "ip", "ip6_tables_names": "ip6", "arp_tables_names": "arp"} {
		for _, table := range strings.Fields(t.text("/proc/net/" + file)) {
			all = append(all, family+" "+table)
		}
	}
	return sortedUnique(all)
}
