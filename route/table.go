package route

import (
	"errors"
	"fmt"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/vpnguard/vpnguard/internal/fault"
)

// Kernel is the routing of the network namespace that the handle is of. The
// caller opens and closes the handle.
//
// Requires at least Linux 4.17.
type Kernel struct{ Handle *netlink.Handle }

// dumpTries bounds the repeats of a dump that changes cut short.
const dumpTries = 10

// Main is the main table of both families. A route with several next hops has
// its first one.
func (k Kernel) Main() ([]Route, error) {
	all, err := k.routes()
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(all, func(r Route) bool { return r.Table != tableMain }), nil
}

// Have is what there is of ours, rules by priority.
func (k Kernel) Have() (Plan, error) {
	var have Plan
	rules, err := k.rules()
	if err != nil {
		return Plan{}, err
	}
	for _, r := range rules {
		if ours(r) {
			have.Rules = append(have.Rules, fromRule(r))
		}
	}
	all, err := k.routes()
	if err != nil {
		return Plan{}, err
	}
	have.Routes = slices.DeleteFunc(all, func(r Route) bool { return r.Protocol != Protocol || r.Table == tableMain })
	return have, nil
}

// Apply makes ours what the plan says: routes first and the rule for all else
// last, so that no carrier is led into its own tunnel; then what is no longer
// planned goes. Somebody else's rules and routes are left alone; if they are
// where ours would be, the error is [ErrInUse] and nothing was changed.
//
// After another error a part may have been changed; Apply again, or Remove.
func (k Kernel) Apply(p Plan) error {
	if err := k.free(p); err != nil {
		return err
	}
	have, err := k.Have()
	if err != nil {
		return err
	}
	fault.Point("route.change.before")
	if err := fault.Refuse("route.change"); err != nil {
		return fmt.Errorf("add routing rule: %w", err)
	}
	// A route that differs only in its next hop would be refused beside the old,
	// and a later removal could not tell the two apart.
	old := missing(have.Routes, p.Routes, Route.same)
	replaced := func(r Route) bool {
		return slices.ContainsFunc(p.Routes, func(o Route) bool { return o.Table == r.Table && o.Dst == r.Dst && o.Metric == r.Metric })
	}
	for _, r := range old {
		if replaced(r) {
			if err := k.delRoute(r); err != nil {
				return err
			}
		}
	}
	for _, r := range missing(p.Routes, have.Routes, Route.same) {
		if err := k.Handle.RouteAdd(toRoute(r)); err != nil && !errors.Is(err, unix.EEXIST) {
			return fmt.Errorf("add route %q: %w", r, err)
		}
	}
	fault.Point("route.change.routed")
	add := missing(p.Rules, have.Rules, equal)
	for i, r := range add {
		if err := k.Handle.RuleAdd(toRule(r)); err != nil && !errors.Is(err, unix.EEXIST) {
			return fmt.Errorf("add routing rule %q: %w", r, err)
		}
		if i == len(add)/2 {
			fault.Point("route.change.half")
		}
	}
	for _, r := range slices.Backward(missing(have.Rules, p.Rules, equal)) {
		if err := k.delRule(r); err != nil {
			return err
		}
	}
	for _, r := range slices.DeleteFunc(old, replaced) {
		if err := k.delRoute(r); err != nil {
			return err
		}
	}
	fault.Point("route.change.after")
	return nil
}

// Remove takes all of ours away, rules first, whatever plan they are of.
func (k Kernel) Remove() error {
	have, err := k.Have()
	if err != nil || have.Empty() {
		return err
	}
	fault.Point("route.remove.before")
	if err := fault.Refuse("route.remove"); err != nil {
		return fmt.Errorf("remove routing rule: %w", err)
	}
	for i, r := range slices.Backward(have.Rules) {
		if err := k.delRule(r); err != nil {
			return err
		}
		if i == len(have.Rules)/2 {
			fault.Point("route.remove.half")
		}
	}
	for _, r := range have.Routes {
		if err := k.delRoute(r); err != nil {
			return err
		}
	}
	fault.Point("route.remove.after")
	return nil
}

func equal(a, b Rule) bool { return a == b }

// missing are the elements of a that b has not.
func missing[T any](a, b []T, same func(T, T) bool) []T {
	return slices.DeleteFunc(slices.Clone(a), func(x T) bool {
		return slices.ContainsFunc(b, func(y T) bool { return same(x, y) })
	})
}

func (k Kernel) delRule(r Rule) error {
	if err := k.Handle.RuleDel(toRule(r)); err != nil && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("remove routing rule %q: %w", r, err)
	}
	return nil
}

// delRoute takes it as done if the kernel did it with the device.
func (k Kernel) delRoute(r Route) error {
	if err := k.Handle.RouteDel(toRoute(r)); err != nil && !errors.Is(err, unix.ESRCH) && !errors.Is(err, unix.ENODEV) {
		return fmt.Errorf("remove route %q: %w", r, err)
	}
	return nil
}

// Usable says why steering with tables from this one on is refused here; nil: it
// is not, as far as can be told without a change.
func (k Kernel) Usable(table uint32) error {
	return k.free(Plan{Rules: []Rule{{Table: table}, {Table: table + 1}, {Table: table + 2}}})
}

// free looks for what is somebody else's where the plan's would be.
func (k Kernel) free(p Plan) error {
	// Without policy routing a route of any table would come into the main one.
	if _, err := whole(func() ([]netlink.Rule, error) { return k.Handle.RuleList(unix.AF_INET) }); err != nil {
		return fmt.Errorf("list routing rules (CONFIG_IP_MULTIPLE_TABLES): %w", err)
	}
	rules, err := k.rules()
	if err != nil {
		return err
	}
	tables := map[uint32]bool{}
	for _, r := range p.Rules {
		if r.Table != tableMain {
			tables[r.Table] = true
		}
	}
	for _, r := range rules {
		if !ours(r) && (tables[uint32(r.Table)] || len(p.Rules) > 0 && within(r.Priority)) {
			return fmt.Errorf("routing rule %d to table %d: %w", r.Priority, r.Table, ErrInUse)
		}
	}
	all, err := k.routes()
	if err != nil {
		return err
	}
	for _, r := range all {
		if r.Protocol != Protocol && tables[r.Table] {
			return fmt.Errorf("table %d, which has route %q: %w", r.Table, r, ErrInUse)
		}
	}
	return nil
}

func within(priority int) bool { return priority >= priorityCarrier && priority < priorityOutside }

// ours reports whether the rule was made here.
func ours(r netlink.Rule) bool { return r.Protocol == Protocol && within(r.Priority) }

var families = []int{unix.AF_INET, unix.AF_INET6}

func (k Kernel) rules() ([]netlink.Rule, error) {
	var all []netlink.Rule
	for _, family := range families {
		list, err := whole(func() ([]netlink.Rule, error) { return k.Handle.RuleList(family) })
		if absent(err) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("list routing rules: %w", err)
		}
		all = append(all, list...)
	}
	return all, nil
}

// absent reports whether the kernel has no such family, or no rules in it.
func absent(err error) bool {
	return errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.EOPNOTSUPP)
}

func (k Kernel) routes() ([]Route, error) {
	var all []Route
	for _, family := range families {
		list, err := whole(func() ([]netlink.Route, error) {
			return k.Handle.RouteListFiltered(family, &netlink.Route{Table: unix.RT_TABLE_UNSPEC}, netlink.RT_FILTER_TABLE)
		})
		if absent(err) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("list routes: %w", err)
		}
		for _, r := range list {
			if route, ok := fromRoute(r); ok {
				all = append(all, route)
			}
		}
	}
	return all, nil
}

// whole repeats an interrupted dump.
func whole[T any](dump func() ([]T, error)) ([]T, error) {
	for try := 1; ; try++ {
		got, err := dump()
		if err == nil {
			return got, nil
		}
		if !errors.Is(err, netlink.ErrDumpInterrupted) || try == dumpTries {
			return nil, err
		}
	}
}
