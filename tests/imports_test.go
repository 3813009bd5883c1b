package tests

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/vpnguard/vpnguard/"

// source is one file of the module, by its path below the module's root.
type source struct {
	path    string
	imports map[string]string // name in the file -> import path
	file    *ast.File
}

func (s source) pkg() string { return path.Dir(s.path) }

func (s source) test() bool { return strings.HasSuffix(s.path, "_test.go") }

// below reports whether the file is of one of these packages or their sub-packages.
func (s source) below(packages ...string) bool { return within(s.pkg(), packages...) }

func within(pkg string, packages ...string) bool {
	return slices.ContainsFunc(packages, func(p string) bool { return pkg == p || strings.HasPrefix(pkg, p+"/") })
}

func parse(name string, text []byte) (source, error) {
	f, err := parser.ParseFile(token.NewFileSet(), name, text, 0)
	if err != nil {
		return source{}, err
	}
	s := source{path: name, imports: map[string]string{}, file: f}
	for _, i := range f.Imports {
		p, err := strconv.Unquote(i.Path.Value)
		if err != nil {
			return source{}, err
		}
		as := path.Base(p)
		if i.Name != nil {
			as = i.Name.Name
		}
		s.imports[as] = p
	}
	return s, nil
}

// used calls f for each name that the file takes from an imported package.
func (s source) used(importPath string, f func(name string, call bool)) {
	called := map[*ast.SelectorExpr]bool{}
	ast.Inspect(s.file, func(n ast.Node) bool {
		if c, ok := n.(*ast.CallExpr); ok {
			if sel, ok := c.Fun.(*ast.SelectorExpr); ok {
				called[sel] = true
			}
		}
		if sel, ok := n.(*ast.SelectorExpr); ok {
			if x, ok := sel.X.(*ast.Ident); ok && s.imports[x.Name] == importPath {
				f(sel.Sel.Name, called[sel])
			}
		}
		return true
	})
}

// law is one line of what packages may do; design.md, section 12, and the linters.
type law struct {
	name  string
	check func(source, func(format string, args ...any))
}

// judging are the packages that lead from evidence to a report.
var judging = []string{"audit/evidence", "audit/policy", "audit/verdict", "audit/gate", "audit/report", "audit/bundle", "audit/conclude"}

var laws = []law{
	{"pure packages do no I/O", func(s source, report func(string, ...any)) {
		if s.test() || !s.below(append([]string{"rules", "hook", "config", "endpoint"}, judging...)...) || s.pkg() == "audit/bundle" {
			return
		}
		for _, p := range s.imports {
			if doesIO(p) && !(p == "golang.org/x/sys/unix" && s.pkg() == "rules/lower") {
				report("imports %s", p)
			}
		}
		s.used("golang.org/x/sys/unix", func(name string, _ bool) {
			if !regexp.MustCompile(`^[A-Z][A-Z0-9_]+$`).MatchString(name) {
				report("uses unix.%s, which is no constant", name)
			}
		})
		s.used("net", func(name string, _ bool) {
			if name != "JoinHostPort" && name != "SplitHostPort" && name != "ParseMAC" {
				report("uses net.%s, which is no mere text", name)
			}
		})
	}},
	{"leaf packages know nothing of ours", func(s source, report func(string, ...any)) {
		allowed := map[string][]string{
			"endpoint": {"endpoint"},
			"rules":    {"rules", "endpoint"}, "hook": {"hook", "endpoint"}, "config": {"config", "endpoint"},
		}
		for _, p := range []string{"sysctl", "state", "owner", "link", "survey", "route", "dns", "tunnel", "confine"} {
			allowed[p] = []string{p, "endpoint", "internal/fault"}
		}
		allowed["blocked"] = []string{"blocked"}
		mine, ok := allowed[strings.Split(s.pkg(), "/")[0]]
		if s.test() || !ok {
			return
		}
		for _, p := range s.imports {
			if ours, found := strings.CutPrefix(p, module); found && !within(ours, mine...) {
				report("imports %s", ours)
			}
		}
	}},
	{"an audit's verdicts share no code with what it sends and whom it audits", func(s source, report func(string, ...any)) {
		if s.test() || !s.below(judging...) {
			return
		}
		for _, p := range s.imports {
			if ours, found := strings.CutPrefix(p, module); found && !within(ours, append([]string{"lab/wire"}, judging...)...) {
				report("imports %s", ours)
			}
		}
	}},
	{"the audit's catalogue is data", func(s source, report func(string, ...any)) {
		if s.test() || !s.below("audit/catalogue") {
			return
		}
		for _, p := range s.imports {
			if ours, found := strings.CutPrefix(p, module); found && ours != "audit/evidence" || doesIO(p) {
				report("imports %s", p)
			}
		}
	}},
	{"only cmd knows kong", onlyImportedBelow("github.com/alecthomas/kong", "cmd")},
	{"only nft and rules/lower know the netfilter library", onlyImportedBelow("github.com/google/nftables", "nft", "rules/lower")},
	{"only dns knows the bus", onlyImportedBelow("github.com/godbus/dbus", "dns", "tests")},
	{"wireguard-go is for tests only", func(s source, report func(string, ...any)) {
		for _, p := range s.imports {
			if within(p, "golang.zx2c4.com/wireguard") && !s.test() {
				report("imports %s", p)
			}
		}
	}},
	{"the tunnel's protocol server touches no file", func(s source, report func(string, ...any)) {
		s.used("os", func(name string, call bool) {
			if call && !s.test() && s.below("tunnel/uapi") {
				report("calls os.%s", name)
			}
		})
		s.used("net", func(name string, call bool) {
			if call && (strings.HasPrefix(name, "Dial") || strings.HasPrefix(name, "Listen")) && !s.test() && s.below("tunnel/uapi") {
				report("uses net.%s", name)
			}
		})
	}},
	{"libraries do not exit", func(s source, report func(string, ...any)) {
		s.used("os", func(name string, _ bool) {
			if name == "Exit" && !s.test() && !s.below("cmd", "lab", "tests") {
				report("uses os.Exit")
			}
		})
	}},
	{"programs are run by tests only, ourselves by two files, a peer by one of them, and resolvconf by one", func(s source, report func(string, ...any)) {
		s.used("os/exec", func(name string, _ bool) {
			if strings.HasPrefix(name, "Command") && !s.test() && !s.below("lab", "tests") && s.path != "cmd/vpnguard/detach.go" && s.path != "cmd/vpnguard/audit_children.go" && s.path != "dns/command.go" {
				report("uses exec.%s", name)
			}
		})
	}},
	{"routing netlink goes by a handle", func(s source, report func(string, ...any)) {
		s.used("github.com/vishvananda/netlink", func(name string, call bool) {
			value := strings.HasPrefix(name, "New") || strings.HasPrefix(name, "Parse") || name == "NsPid" || name == "NsFd"
			if call && !value {
				report("calls netlink.%s of the package", name)
			}
		})
	}},
	{"nobody's ruleset is flushed", func(s source, report func(string, ...any)) {
		ast.Inspect(s.file, func(n ast.Node) bool {
			if id, ok := n.(*ast.Ident); ok && id.Name == "FlushRuleset" {
				report("uses %s", id.Name)
			}
			return true
		})
	}},
}

func doesIO(p string) bool {
	if strings.HasPrefix(p, "net/") && p != "net/netip" && p != "net/url" {
		return true
	}
	return slices.Contains([]string{"os", "syscall", "io/ioutil", "log", "log/slog", "plugin", "testing", "unsafe"}, p) ||
		strings.HasPrefix(p, "os/") || strings.HasPrefix(p, "golang.org/x/sys/") || strings.HasPrefix(p, "golang.org/x/net/") ||
		strings.HasSuffix(p, "/netlink") || strings.HasSuffix(p, "/netns")
}

func onlyImportedBelow(imported string, packages ...string) func(source, func(string, ...any)) {
	return func(s source, report func(string, ...any)) {
		for _, p := range s.imports {
			if within(p, imported) && !s.below(packages...) {
				report("imports %s", p)
			}
		}
	}
}

func broken(s source) []string {
	var out []string
	for _, l := range laws {
		l.check(s, func(format string, args ...any) {
			out = append(out, l.name+": "+s.path+" "+fmt.Sprintf(format, args...))
		})
	}
	return out
}

func TestPackagesImportWhatTheyMay(t *testing.T) {
	seen := map[string]int{}
	err := filepath.WalkDir("..", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && name != ".." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata") {
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(name, ".go") {
			return nil
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel("..", name)
		if err != nil {
			return err
		}
		s, err := parse(filepath.ToSlash(rel), text)
		if err != nil {
			return err
		}
		seen[s.pkg()]++
		for _, b := range broken(s) {
			t.Error(b)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{"rules", "rules/lower", "hook", "config", "endpoint", "nft", "sysctl", "state", "owner", "link", "survey", "route", "blocked", "dns", "tunnel", "tunnel/engine", "tunnel/uapi", "confine", "guard", "guardian", "cmd/vpnguard", "lab", "audit/host", "tests", "tests/vm", "audit/evidence", "audit/policy", "audit/verdict", "audit/gate", "audit/report", "audit/bundle", "audit/conclude"} {
		if seen[p] == 0 {
			t.Errorf("no file of package %q was read", p)
		}
	}
}
