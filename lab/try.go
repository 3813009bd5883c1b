package lab

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/vpnguard/vpnguard/lab/probe"
	"github.com/vpnguard/vpnguard/lab/site"
	"github.com/vpnguard/vpnguard/lab/wire"
)

// An Attempt is one run of a probe and what the cable showed meanwhile.
type Attempt struct {
	Receipt probe.Receipt
	// Frames are all that left the cable from the start of the probe on.
	Frames []wire.Frame
	// Seen are those of them that are the probe's.
	Seen []wire.Frame
}

// Judge judges the attempt's frames by the policy; those of the probe itself
// are leaks even where a carrier would look the same.
func (a Attempt) Judge(p wire.Policy) wire.Verdict {
	p.Forbidden = a.Receipt.Evidence
	return p.Judge(a.Frames)
}

// ErrSilent means that a control showed nothing on the wire, so that a guarded
// run of the same probe would prove nothing.
var ErrSilent = errors.New("the control shows nothing on the wire")

// Try runs a probe as uid in the node and returns when everything that it left
// on the wire is captured. That the kernel refused a send is no error; that
// the probe could not try, or the capture lost frames, is one.
func (l *Lab) Try(ctx context.Context, node *Node, uid int, o probe.Order) (Attempt, error) {
	p, err := probe.Find(o.Name)
	if err != nil {
		return Attempt{}, err
	}
	if p.Privileged && uid != 0 {
		return Attempt{}, fmt.Errorf("run probe %q as uid %d: it needs root of the namespace", o.Name, uid)
	}
	if o.Nonce == "" {
		o.Nonce = probe.NewNonce()
	}
	mark, err := l.capture.Mark(ctx)
	if err != nil {
		return Attempt{}, err
	}
	var a Attempt
	if a.Receipt, err = l.Probe(ctx, node, uid, o); err != nil {
		return a, err
	}
	if err := l.capture.Sync(ctx); err != nil {
		return a, err
	}
	a.Frames = l.capture.Since(mark)
	a.Seen = a.Receipt.Evidence.Find(a.Frames)
	return a, nil
}

// Probe runs a probe as uid in the node and looks at no wire.
func (l *Lab) Probe(ctx context.Context, node *Node, uid int, o probe.Order) (r probe.Receipt, err error) {
	if err := node.ask(ctx, uid, "probe", o, &r); err != nil {
		return r, fmt.Errorf("run probe %q in %q: %w", o.Name, node.Name, err)
	}
	return r, nil
}

// controlWait is how long a control waits for what the kernel sends by itself
// and later, such as group reports.
const controlWait = 3 * time.Second

// Control is [Lab.Try] with the guard off: it waits for the probe's frames and
// returns [ErrSilent] with the receipt if none come.
func (l *Lab) Control(ctx context.Context, node *Node, uid int, o probe.Order) (Attempt, error) {
	mark, err := l.capture.Mark(ctx)
	if err != nil {
		return Attempt{}, err
	}
	a, err := l.Try(ctx, node, uid, o)
	if err != nil || len(a.Seen) > 0 {
		return a, err
	}
	wait, cancel := context.WithTimeout(ctx, controlWait)
	defer cancel()
	a.Frames, err = l.capture.Until(wait, mark, func(frames []wire.Frame) bool {
		a.Seen = a.Receipt.Evidence.Find(frames)
		return len(a.Seen) > 0
	})
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		return a, fmt.Errorf("control of probe %q: %s: %w", o.Name, a.Receipt, ErrSilent)
	}
	return a, err
}

// Attack is [Lab.Try] from the gateway towards target at the client's link
// address. Attempt.Seen are answers in clear.
func (l *Lab) Attack(ctx context.Context, name string, target netip.Addr) (Attempt, error) {
	o := probe.Order{Name: name, Dev: "lan0", Target: target, TargetMAC: site.ClientMAC}
	return l.Try(ctx, l.Gateway, 0, o)
}

// Policy explains the client's link upkeep and the given carriers, and nothing
// else.
func (l *Lab) Policy(carriers ...wire.Carrier) wire.Policy {
	return wire.Policy{
		MACs:       [][6]byte{site.MAC(site.ClientMAC)},
		Hosts:      []netip.Addr{site.Client, site.Client6, site.ClientLinkLocal},
		Neighbours: []netip.Addr{site.Gateway, site.Gateway6, site.GatewayLinkLocal},
		Carriers:   slices.Clone(carriers),
	}
}

// Settled waits until nothing leaves the cable that the policy does not
// explain, for as long as quiet. Use it before a mark, after a change that
// makes the kernel talk.
func (l *Lab) Settled(ctx context.Context, policy wire.Policy, quiet time.Duration) error {
	for {
		mark, err := l.capture.Mark(ctx)
		if err != nil {
			return err
		}
		loud, cancel := context.WithTimeout(ctx, quiet)
		_, err = l.capture.Until(loud, mark, func(frames []wire.Frame) bool {
			return len(policy.Judge(frames).Leaks) > 0
		})
		cancel()
		if ctx.Err() != nil {
			return fmt.Errorf("wait for a quiet wire: %w", ctx.Err())
		}
		if errors.Is(err, context.DeadlineExceeded) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// ask runs a role with the order as JSON and reads its answer.
func (n *Node) ask(ctx context.Context, uid int, role string, order, answer any) error {
	arg, err := json.Marshal(order)
	if err != nil {
		return err
	}
	var out, message bytes.Buffer
	cmd := n.role(ctx, uid, role, string(arg))
	cmd.Stdout, cmd.Stderr = &out, &message
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%w: %s", err, strings.TrimSpace(message.String()))
	}
	if err := json.Unmarshal(out.Bytes(), answer); err != nil {
		return fmt.Errorf("read the answer %q: %w", out.String(), err)
	}
	return nil
}

// reply is the other end of ask, inside the role.
func reply[Order, Answer any](arg string, do func(Order) (Answer, error)) error {
	var o Order
	if err := json.Unmarshal([]byte(arg), &o); err != nil {
		return fmt.Errorf("read the order %q: %w", arg, err)
	}
	a, err := do(o)
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(a)
}
