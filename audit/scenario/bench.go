package scenario

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"syscall"
	"time"

	"github.com/vpnguard/vpnguard/audit/evidence"
	"github.com/vpnguard/vpnguard/lab"
	"github.com/vpnguard/vpnguard/lab/probe"
	"github.com/vpnguard/vpnguard/lab/site"
	"github.com/vpnguard/vpnguard/lab/wire"
)

// A bench is one laboratory with a client and, in the guarded phase, a guard. It
// serves the scenarios of one group, one after the other.
type bench struct {
	ctx     context.Context
	lab     *lab.Lab
	order   *Order
	group   *group
	phase   evidence.Phase
	client  client
	user    int // an ordinary uid, or root where there is no other
	watches []*watch
	// sections are the client's state at times, of a group that is shown.
	sections []evidence.Section
}

// A client is a VPN's two ends.
type client interface {
	// serve starts the server, before anything else.
	serve(b *bench) error
	// connect starts the client, in the guarded phase with its guard, and returns
	// when the tunnel is up.
	connect(b *bench) error
	// tunnel tells of what is up.
	tunnel() tunnel
	// kill ends the client without a chance to run anything.
	kill(b *bench) error
	// restart makes the client go through its restart, and returns when it is up
	// again.
	restart(b *bench) error
}

// tunnel is what there is to know of a client's tunnel.
type tunnel struct {
	device string // at the client
	far    string // at the server
	// addresses of the client inside
	v4, v6 netip.Addr
	// endpoint is the carrier's, as the client has it.
	endpoint netip.AddrPort
	proto    uint8
	second   uint8 // another protocol to the same port; 0: none
}

// carriers are what the tunnel puts on the wire.
func (t tunnel) carriers() []wire.Carrier {
	all := []wire.Carrier{{Remote: t.endpoint, Proto: t.proto}}
	if t.second != 0 {
		all = append(all, wire.Carrier{Remote: t.endpoint, Proto: t.second})
	}
	return all
}

// A group is how a bench is set up for its scenarios. The zero value is a tunnel
// for both families that stands before the first scenario begins.
type group struct {
	name string
	// prepare changes the laboratory after the server is there and before the
	// client is.
	prepare func(b *bench) error
	// shown groups' host is in the report.
	shown bool
	// late groups' scenarios connect by themselves.
	late bool
	// alone gives each scenario a laboratory of its own.
	alone bool
	want  want
	// resident is a guest that lives on the LAN itself: its own link upkeep is
	// explained.
	resident *resident
}

// resident is a guest on the LAN.
type resident struct {
	mac   string
	hosts []netip.Addr
	link  string // its interface
}

// want is what a group asks of the client.
type want struct {
	ipv4Only bool
	v6Server bool // the carrier goes by IPv6
	// remote is where the client is told that its server is.
	remote netip.AddrPort
	// name is the same, told by name.
	name string
	// keepalive lets the client notice that its server is gone.
	keepalive bool
	second    bool // a second server is there
}

// newBench builds a laboratory for a group.
func newBench(ctx context.Context, o *Order, g *group, phase evidence.Phase) (_ *bench, err error) {
	b := &bench{ctx: ctx, order: o, group: g, phase: phase, user: probe.Ordinary}
	if lab.SingleUID() {
		b.user = 0
	}
	if b.client, err = newClient(o); err != nil {
		return nil, err
	}
	if b.lab, err = lab.New(ctx, lab.Options{}); err != nil {
		return nil, fmt.Errorf("build the laboratory: %w", err)
	}
	defer func() {
		if err != nil {
			b.close()
		}
	}()
	if err = b.newLinksAreSilent(); err != nil {
		return nil, err
	}
	if err = b.client.serve(b); err != nil {
		return nil, fmt.Errorf("start the VPN server: %w", err)
	}
	if g.prepare != nil {
		if err = g.prepare(b); err != nil {
			return nil, fmt.Errorf("prepare %q: %w", g.name, err)
		}
	}
	if g.shown && phase == evidence.Guarded {
		b.sections = b.listed("before the tunnel")
	}
	if !g.late {
		if err = b.connect(); err != nil {
			return nil, err
		}
	}
	if g.shown && phase == evidence.Guarded {
		b.sections = append(b.sections, b.listed("while the tunnel is up")...)
	}
	return b, b.watch()
}

// close ends the laboratory, and what a client left running in it.
func (b *bench) close() {
	if pids, err := b.processes(""); err == nil {
		for _, pid := range pids {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
	b.lab.Close()
}

func (b *bench) guarded() bool { return b.phase == evidence.Guarded && b.order.Guard != "none" }

// connect brings the tunnel up and waits until it carries.
func (b *bench) connect() error {
	if err := b.client.connect(b); err != nil {
		return fmt.Errorf("start the VPN client: %w", err)
	}
	if err := b.carries(connecting); err != nil {
		return fmt.Errorf("bring the tunnel up: %w", err)
	}
	return nil
}

// connecting is how long a tunnel may take to come up on a busy machine.
const connecting = 30 * time.Second

// newLinksAreSilent keeps tunnel devices from soliciting routers and reporting
// groups: what the tunnel carries is counted.
func (b *bench) newLinksAreSilent() error {
	const script = `cd /proc/sys/net/ipv6/conf/default
echo 0 > accept_dad
echo 0 > dad_transmits
echo 0 > router_solicitations
echo 1 > mldv2_unsolicited_report_interval
`
	return errors.Join(b.lab.Client.Script(b.ctx, script), b.lab.Server.Script(b.ctx, script))
}

// errTunnel means that the internet does not see the client as the VPN server.
var errTunnel = errors.New("the tunnel does not carry")

// alive asks the internet once whom it sees.
func (b *bench) alive() error {
	ctx, cancel := context.WithTimeout(b.ctx, 5*time.Second)
	defer cancel()
	to := site.Web // which no attack here leads elsewhere
	if b.group.want.remote.IsValid() {
		to = site.PublicTwo
	}
	seen, err := b.lab.SeenAs(ctx, b.lab.Client, b.user, "udp", netip.AddrPortFrom(to, probe.EchoPort))
	if err != nil {
		return fmt.Errorf("%w: %w", errTunnel, err)
	}
	if seen != site.Server && seen != site.ServerTwo {
		return fmt.Errorf("%w: the internet sees %s", errTunnel, seen)
	}
	return nil
}

// routed waits until a client that does not say when it is up has led the
// internet into its device: asking before would itself leave in clear.
func (b *bench) routed(device string) error {
	for end := time.Now().Add(connecting); time.Now().Before(end) && b.ctx.Err() == nil; time.Sleep(10 * time.Millisecond) {
		out, err := b.lab.Client.Run(b.ctx, "ip", "route", "get", site.Web.String())
		if err == nil && strings.Contains(out, " dev "+device+" ") {
			return nil
		}
	}
	return fmt.Errorf("%w: no route leads into %q", errTunnel, device)
}

// carries waits until alive.
func (b *bench) carries(limit time.Duration) (err error) {
	for end := time.Now().Add(limit); time.Now().Before(end) && b.ctx.Err() == nil; time.Sleep(20 * time.Millisecond) {
		if err = b.alive(); err == nil {
			return nil
		}
	}
	return errors.Join(err, b.ctx.Err())
}
