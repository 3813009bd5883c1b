package hook

import (
	"slices"
	"strconv"
	"strings"
)

// environment is what a client set. Of two equal keys the first counts, as
// with getenv.
type environment map[string]string

func newEnvironment(environ []string) environment {
	env := make(environment, len(environ))
	for _, kv := range environ {
		key, value, ok := strings.Cut(kv, "=")
		if _, dup := env[key]; ok && !dup {
			env[key] = value
		}
	}
	return env
}

func (e environment) has(key string) bool { _, ok := e[key]; return ok }

// numbers returns all N, ascending, for which prefix+N is set. Gaps do not end
// the list: what is set counts.
func (e environment) numbers(prefix string) []int {
	var found []int
	for key := range e {
		if n, ok := number(key, prefix); ok {
			found = append(found, n)
		}
	}
	slices.Sort(found)
	return found
}

// keys returns all set keys prefix+N+infix+M, ascending by N, then M.
func (e environment) keys(prefix, infix string) []string {
	var found [][2]int
	for key := range e {
		head, _, ok := strings.Cut(key, infix)
		if !ok {
			continue
		}
		n, okN := number(head, prefix)
		m, okM := number(key, head+infix)
		if okN && okM {
			found = append(found, [2]int{n, m})
		}
	}
	slices.SortFunc(found, func(a, b [2]int) int { return slices.Compare(a[:], b[:]) })
	keys := make([]string, len(found))
	for i, nm := range found {
		keys[i] = prefix + strconv.Itoa(nm[0]) + infix + strconv.Itoa(nm[1])
	}
	return keys
}

// number returns N of prefix+N. Only the form that a client writes counts:
// 1 and up, no sign, no leading zero.
func number(key, prefix string) (int, bool) {
	s, ok := strings.CutPrefix(key, prefix)
	if !ok || s == "" || s[0] < '1' || s[0] > '9' {
		return 0, false
	}
	n, err := strconv.ParseInt(s, 10, 32)
	return int(n), err == nil
}

// numbersBetween returns all N, from 0 on and ascending, for which
// prefix+N+suffix is set.
func (e environment) numbersBetween(prefix, suffix string) []int {
	var found []int
	for key := range e {
		head, ok := strings.CutSuffix(key, suffix)
		if !ok {
			continue
		}
		if n, ok := number(head, prefix); ok {
			found = append(found, n)
		} else if head == prefix+"0" {
			found = append(found, 0)
		}
	}
	slices.Sort(found)
	return found
}

// numbered returns the set keys prefix+N in the order of [environment.numbers].
func (e environment) numbered(prefix string) []string {
	var keys []string
	for _, n := range e.numbers(prefix) {
		keys = append(keys, prefix+strconv.Itoa(n))
	}
	return keys
}
