package lab

import (
	"context"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// A Snapshot is a host's state by name: the output of a command, or the content
// of a file with its mode, owner and, if it is a link, target.
type Snapshot map[string]string

// state is what a guard may touch, in forms without counters and timers.
var state = [][]string{
	{"nft", "-s", "list", "ruleset"},
	{"ip", "rule", "show"},
	{"ip", "-6", "rule", "show"},
	{"ip", "route", "show", "table", "all"},
	{"ip", "-6", "route", "show", "table", "all"},
	{"ip", "-d", "link", "show"},
	{"ip", "addr", "show"},
	{"ip", "mptcp", "endpoint", "show"},
}

// bridgeTimer is what a bridge tells of its timers, which run by themselves.
var bridgeTimer = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`(_timer) +[0-9.]+`) })

// Snapshot reads the node's rules, routes, links, addresses, every readable
// key below /proc/sys/net and /etc/resolv.conf. Keys that differ between two
// readings with nothing in between are counters and are left out.
func (n *Node) Snapshot(ctx context.Context) (Snapshot, error) {
	s := Snapshot{}
	for _, cmd := range state {
		out, err := n.Run(ctx, cmd[0], cmd[1:]...)
		if err != nil {
			return nil, fmt.Errorf("snapshot of %q: %w", n.Name, err)
		}
		s[strings.Join(cmd, " ")] = bridgeTimer().ReplaceAllString(out, "$1")
	}
	var knobs [2]map[string]string
	for i := range knobs {
		var err error
		if knobs[i], err = n.knobs(ctx); err != nil {
			return nil, fmt.Errorf("snapshot of %q: %w", n.Name, err)
		}
	}
	// What moves by itself is no setting; the number of tracked connections
	// may rest between the two looks and move later.
	maps.DeleteFunc(knobs[0], func(key, value string) bool {
		return knobs[1][key] != value || strings.HasSuffix(key, "/nf_conntrack_count")
	})
	maps.Copy(s, knobs[0])
	resolver, err := describeFile(n.Path("/etc/resolv.conf"))
	if err != nil {
		return nil, fmt.Errorf("snapshot of %q: %w", n.Name, err)
	}
	s["/etc/resolv.conf"] = resolver
	return s, nil
}

// knobs reads /proc/sys/net inside the node: what it shows follows the reading
// process, not the path.
func (n *Node) knobs(ctx context.Context) (map[string]string, error) {
	// grep -r is one process for more than a thousand files; it fails for those
	// that are write-only, and each is named with what it said.
	out, err := n.Command(ctx, "sh", "-c", "grep -r -s '' /proc/sys/net || :").Output()
	if err != nil {
		return nil, fmt.Errorf("read /proc/sys/net: %w", err)
	}
	values := map[string]string{}
	for line := range strings.Lines(string(out)) {
		key, value, _ := strings.Cut(line, ":")
		values[key] += value
	}
	if len(values) < 100 {
		return nil, fmt.Errorf("read /proc/sys/net: only %d keys", len(values))
	}
	return values, nil
}

func describeFile(path string) (string, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return "", err
	}
	text := fmt.Sprintf("%v %v\n", info.Mode(), owner(info))
	if info.Mode()&fs.ModeSymlink != 0 {
		link, err := os.Readlink(path)
		// What the link names lies in the node, not here.
		return text + filepath.Clean(link), err
	}
	content, err := os.ReadFile(path)
	return text + string(content), err
}

// Diff tells what changed from s to after, by lines: those that went with -, those
// that came with +. Empty is nothing.
func (s Snapshot) Diff(after Snapshot) string {
	all := maps.Clone(s)
	maps.Copy(all, after)
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(all)) {
		old, had := s[name]
		now, has := after[name]
		if old == now && had == has {
			continue
		}
		fmt.Fprintf(&b, "%s:\n", name)
		went, came := without(old, now), without(now, old)
		for _, l := range went {
			fmt.Fprintf(&b, "\t-%s\n", l)
		}
		for _, l := range came {
			fmt.Fprintf(&b, "\t+%s\n", l)
		}
		if len(went)+len(came) == 0 {
			b.WriteString("\tthe order of its lines, or whether it is there\n")
		}
	}
	return b.String()
}

// without are the lines of a that b has fewer of.
func without(a, b string) (lines []string) {
	have := map[string]int{}
	for l := range strings.Lines(b) {
		have[strings.TrimSuffix(l, "\n")]++
	}
	for l := range strings.Lines(a) {
		l = strings.TrimSuffix(l, "\n")
		if have[l]--; have[l] < 0 {
			lines = append(lines, l)
		}
	}
	return lines
}
