package tests

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/vpnguard/vpnguard/endpoint"
	"github.com/vpnguard/vpnguard/guard"
	"github.com/vpnguard/vpnguard/guardian"
	"github.com/vpnguard/vpnguard/rules"
)

func init() { jobs["churn"] = churnJob }

// churn changes the host through its guardian, by the socket, and beside it, by
// routing netlink.
type churn struct {
	guardian.Client
	links  *netlink.Handle
	pid    int // the guardian's
	report churnReport
}

// cycle is how many operations a round has; the host is open before and after.
const cycle = 10

// churnJob does so many operations and says how it went. Its arguments are the
// guardian's process and the number of operations.
func churnJob(args []string) error {
	pid, errPID := strconv.Atoi(args[0])
	n, err := strconv.Atoi(args[1])
	if err != nil || errPID != nil {
		return fmt.Errorf("arguments %q", args)
	}
	var st unix.Stat_t
	if err := unix.Stat("/proc/self/ns/net", &st); err != nil {
		return err
	}
	links, err := netlink.NewHandle()
	if err != nil {
		return err
	}
	defer links.Close()
	c := &churn{Client: guardian.Client{Socket: guardian.SocketPath("/run/vpnguard/guardian"), NetNS: st.Ino}, links: links, pid: pid}
	c.report.Kinds = map[string]churnKind{}
	for round := 0; c.report.Ops < n; round++ {
		if err := c.round(round); err != nil {
			return fmt.Errorf("round %d, after %d operations: %w", round, c.report.Ops, err)
		}
		if c.report.Ops >= churnSettle && c.report.Ops%churnEvery == 0 {
			if err := c.sample(); err != nil {
				return err
			}
		}
	}
	return json.NewEncoder(os.Stdout).Encode(c.report)
}

// do is one operation.
func (c *churn) do(kind string, f func() error) error {
	start := time.Now()
	if err := f(); err != nil {
		return fmt.Errorf("%s: %w", kind, err)
	}
	k := c.report.Kinds[kind]
	c.report.Kinds[kind] = churnKind{k.Count + 1, k.Took + time.Since(start)}
	c.report.Ops++
	return nil
}

// round is [cycle] operations; every other one has the lock around the session,
// the others have it come and go under a session.
func (c *churn) round(i int) error {
	veth := "v" + strconv.Itoa(i%5)
	addr := netip.MustParsePrefix(fmt.Sprintf("10.99.%d.1/24", i%9))
	type op struct {
		kind string
		do   func() error
	}
	lock, unlock := op{"lock", func() error { return c.lock(i) }}, func(want guard.State) op {
		return op{"unlock", func() error { return expect(want)(c.Unlock(context.Background())) }}
	}
	up, down := op{"up", func() error { return c.up(i) }}, func(want guard.State) op {
		return op{"down", func() error { return expect(want)(c.Stop(context.Background(), guard.Selection{Dev: "tun0"})) }}
	}
	appears := op{"interface comes", func() error { return c.veth(veth) }}
	vanishes := op{"interface goes", func() error { return c.remove(veth) }}
	flapDown, flapUp := op{"link down", func() error { return c.flap("w1", false) }}, op{"link up", func() error { return c.flap("w1", true) }}
	gets, loses := op{"address comes", func() error { return c.address("w1", addr, true) }}, op{"address goes", func() error { return c.address("w1", addr, false) }}
	ops := [][cycle]op{
		{lock, appears, up, flapDown, flapUp, gets, down(guard.Locked), vanishes, loses, unlock(guard.Open)},
		{up, flapDown, appears, lock, flapUp, vanishes, unlock(guard.Sealed), gets, loses, down(guard.Open)},
	}
	for _, o := range ops[i%len(ops)] {
		if err := c.do(o.kind, o.do); err != nil {
			return err
		}
	}
	return nil
}

// expect checks the answer to a change.
func expect(want guard.State) func(guard.Result, error) error {
	return func(res guard.Result, err error) error {
		if err == nil && res.State != want {
			err = fmt.Errorf("the host is %s, want %s", res.State, want)
		}
		return err
	}
}

func (c *churn) lock(i int) error {
	name, err := endpoint.ParseOrName(fmt.Sprintf("203.0.113.%d:1194/udp", 10+i%7))
	if err != nil {
		return err
	}
	r := guard.LockRequest{Names: []endpoint.OrName{name}, ResolveTimeout: time.Second, UIDs: []uint32{uint32(i % 3)}}
	if i%4 > 1 {
		r.Settings = guard.Settings{LAN: true, AllowIn: []rules.Service{{Proto: endpoint.TCP, First: 22, Last: 22}}}
	}
	res, err := c.Lock(context.Background(), r)
	if err == nil && res.State != guard.Locked && res.State != guard.Sealed {
		err = fmt.Errorf("the host is %s", res.State)
	}
	return err
}

func (c *churn) up(i int) error {
	e, err := endpoint.Parse(fmt.Sprintf("203.0.113.%d:1194/udp", 20+i%7))
	if err != nil {
		return err
	}
	return expect(guard.Sealed)(c.Up(context.Background(), guard.Request{
		Client: "manual", Dev: "tun0", Endpoints: []endpoint.Endpoint{e}, UIDs: []uint32{0}, Explicit: true, Profile: rules.Full,
	}))
}

func (c *churn) veth(name string) error {
	v := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: name}, PeerName: name + "far"}
	if err := c.links.LinkAdd(v); err != nil {
		return err
	}
	return c.flap(name, true)
}

func (c *churn) remove(name string) error {
	l, err := c.links.LinkByName(name)
	if err != nil {
		return err
	}
	return c.links.LinkDel(l)
}

func (c *churn) flap(name string, up bool) error {
	l, err := c.links.LinkByName(name)
	switch {
	case err != nil:
		return err
	case up:
		return c.links.LinkSetUp(l)
	}
	return c.links.LinkSetDown(l)
}

func (c *churn) address(name string, p netip.Prefix, add bool) error {
	l, err := c.links.LinkByName(name)
	if err != nil {
		return err
	}
	a, err := netlink.ParseAddr(p.String())
	if err != nil {
		return err
	}
	if add {
		return c.links.AddrAdd(l, a)
	}
	return c.links.AddrDel(l, a)
}

// sample looks at the guardian when it has nothing left to do.
func (c *churn) sample() error {
	time.Sleep(200 * time.Millisecond) // ten times the calm between two looks
	s := churnSample{Op: c.report.Ops}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", c.pid))
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(status)) {
		name, value, _ := strings.Cut(line, ":")
		switch name {
		case "VmRSS":
			_, err = fmt.Sscan(value, &s.RSS)
		case "Threads":
			_, err = fmt.Sscan(value, &s.Threads)
		}
		if err != nil {
			return err
		}
	}
	fds, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", c.pid))
	if err != nil {
		return err
	}
	s.FDs = len(fds)
	for _, dir := range []string{"/run/vpnguard", "/var/lib/vpnguard"} {
		if err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			info, err := d.Info()
			s.Files += fmt.Sprintf("%s %d\n", path, info.Size())
			return err
		}); err != nil {
			return err
		}
	}
	c.report.Samples = append(c.report.Samples, s)
	return nil
}
