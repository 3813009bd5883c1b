package hook

import (
	"fmt"
	"slices"
	"strings"
)

// Limits keep a server from filling rules and resolver files. Each is far
// above what a real network needs.
const (
	maxResolvers = 64
	maxDomains   = 256
	maxRoutes    = 4096
	maxRemotes   = 1024
	maxAddresses = 64
)

// ValueError is a value from the client that cannot be used.
type ValueError struct {
	Name  string // the variable or argument
	Value string // as it came: hostile, only ever to be quoted
	Why   string
}

// Error quotes at most 80 bytes of the value.
func (e *ValueError) Error() string {
	value := e.Value
	if len(value) > 80 {
		value = value[:80]
	}
	return fmt.Sprintf("hook value %s %q: %s", e.Name, value, e.Why)
}

// reader takes values out of an environment. In a strict one the first bad
// value is kept as the error; a lenient one leaves bad values out.
type reader struct {
	env    environment
	strict bool
	err    error
}

func (r *reader) fail(name, value, why string) {
	if r.strict && r.err == nil {
		r.err = &ValueError{name, value, why}
	}
}

// read returns the parsed value of a variable; ok is false if it is not set or
// bad.
func read[T any](r *reader, name string, parse func(string) (T, error)) (T, bool) {
	var zero T
	value, set := r.env[name]
	if !set {
		return zero, false
	}
	v, err := parse(value)
	if err != nil {
		r.fail(name, value, err.Error())
		return zero, false
	}
	return v, true
}

// need is read for a variable that belongs to another one.
func need[T any](r *reader, name, owner string, parse func(string) (T, error)) (T, bool) {
	if _, set := r.env[name]; !set {
		r.fail(name, "", "not set beside "+owner)
	}
	return read(r, name, parse)
}

// put appends v unless the list holds it or is full.
func put[T comparable](r *reader, list []T, v T, limit int, name string) []T {
	if slices.Contains(list, v) {
		return list
	}
	if len(list) == limit {
		r.fail(name, r.env[name], fmt.Sprintf("more than %d values of this kind", limit))
		return list
	}
	return append(list, v)
}

// value parses one of the values that a variable holds.
func value[T any](r *reader, name, s string, parse func(string) (T, error)) (T, bool) {
	v, err := parse(s)
	if err != nil {
		r.fail(name, s, err.Error())
	}
	return v, err == nil
}

// fields splits a variable at a separator, leaving out what is empty.
func (r *reader) fields(name, separator string) []string {
	return slices.DeleteFunc(strings.Split(r.env[name], separator), func(s string) bool { return s == "" })
}
