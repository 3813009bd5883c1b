package guard

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/vpnguard/vpnguard/endpoint"
	"github.com/vpnguard/vpnguard/route"
	"github.com/vpnguard/vpnguard/rules"
)

const (
	walks     = 12
	walkSteps = 100
)

// inClear is a packet of an ordinary program to the internet.
var inClear = rules.Packet{Path: rules.FromHost, Out: "eth0", Dst: netip.MustParseAddr("8.8.8.8"), Proto: rules.ProtoUDP, DstPort: 7,
	Socket: true, UID: 1000, State: rules.CTNew, SrcOnOut: true}

// steering is on, at that table.
var steering = Settings{Table: 1000}

// walker calls the guard at random and watches every effect.
type walker struct {
	*host
	r *rand.Rand

	opening  bool           // the call that runs is one by which the user opens
	refused  bool           // an effect of that call was refused
	closed   bool           // no packet in clear passed when last looked
	passed   map[string]int // what the walks came through
	sequence []string
}

// TestRandomWalkNeverOpensByItself walks over up, update, restart, stop,
// recover, dying clients, crashes before and after every effect and refused
// effects, with several sessions, and checks after each effect:
//
//   - what was closed stays so unless the user opens, or no full session is left;
//   - what the kernel has was recorded before;
//   - of every knob that is turned the record knows the old value.
func TestRandomWalkNeverOpensByItself(t *testing.T) {
	passed := map[string]int{}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	for i := range walks {
		w := &walker{host: newHost(t), r: rand.New(rand.NewPCG(seed, uint64(i))), passed: passed}
		w.check = w.hold
		for range walkSteps {
			w.call()
			if t.Failed() {
				t.Fatalf("walk %d: %v", i, w.sequence)
			}
		}
		w.end()
	}
	t.Logf("passed: %v", passed)
	for _, what := range []string{"up", "update", "restart", "stop", "recover", "death", "crash before", "crash after", "refused before", "refused after", "open", "sealed", "steered"} {
		if passed[what] < walks {
			t.Errorf("the walks came through %q only %d times", what, passed[what])
		}
	}
}

// call does one thing, perhaps with a fault in it.
func (w *walker) call() {
	w.steps, w.fault, w.after, w.opening, w.refused = 0, nil, nil, false, false
	name, do := w.choose()
	at := 1 + w.r.IntN(30)
	switch w.r.IntN(8) {
	case 0:
		w.fault = func(n int) error { return w.when(n == at, "crash before", func() error { panic(crash{}) }) }
	case 1:
		w.after = func(n int) { _ = w.when(n == at, "crash after", func() error { panic(crash{}) }) }
	case 2:
		w.fault = func(n int) error { return w.when(n == at, "refused before", func() error { return unix.EIO }) }
	case 3:
		// Every effect from here on: a full disk, a lost capability.
		w.fault = func(n int) error { return w.when(n >= at, "refused after", func() error { return unix.ENOSPC }) }
	}
	w.sequence = append(w.sequence, name)
	w.passed[name]++
	if err := w.guarded(do); err != nil {
		w.sequence = append(w.sequence, err.Error())
	}
	w.fault, w.after = nil, nil
	w.hold("return")
	w.look()
}

func (w *walker) when(now bool, what string, do func() error) error {
	if !now {
		return nil
	}
	w.passed[what]++
	w.sequence = append(w.sequence, what)
	w.refused = true
	return do()
}

// guarded turns a crash into a return; the lock goes with the process.
func (w *walker) guarded(do func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			if _, ok := r.(crash); !ok {
				panic(r)
			}
			w.journal.held = false
			err = errors.New("crashed")
		}
	}()
	return do()
}

func (w *walker) choose() (string, func() error) {
	ctx := context.Background()
	dev := w.r.IntN(3)
	pid := 100 + dev + 10*w.r.IntN(2)
	switch w.r.IntN(10) {
	case 0, 1, 2, 3:
		w.clients.alive[pid] = uint64(pid)
		return "up", func() error {
			r := Request{Client: "openvpn", Dev: fmt.Sprintf("tun%d", dev), PID: pid, Endpoints: []endpoint.Endpoint{w.endpoint()}, Settings: steering}
			if w.r.IntN(4) == 0 {
				r.Explicit, r.Profile = true, rules.Profile(w.r.IntN(2))
			}
			res, err := w.Up(ctx, r, false)
			if err == nil && res.State != Sealed {
				w.t.Errorf("up without an error is %s", res.State)
			}
			return err
		}
	case 4:
		return "update", func() error {
			change := w.Update
			if w.r.IntN(2) == 0 {
				change = w.Move
			}
			_, err := change(ctx, pid, []endpoint.Endpoint{w.endpoint()}, nil)
			return err
		}
	case 5:
		return "restart", func() error { _, err := w.Restart(ctx, Selection{PID: pid}); return err }
	case 6, 7:
		return "stop", func() error {
			w.opening = true
			_, err := w.Stop(ctx, Selection{Dev: fmt.Sprintf("tun%d", dev), All: w.r.IntN(3) == 0})
			return err
		}
	case 8:
		return "recover", func() error { w.opening = true; _, err := w.Recover(ctx); return err }
	default:
		delete(w.clients.alive, pid)
		return "death", func() error { return nil }
	}
}

func (w *walker) endpoint() endpoint.Endpoint {
	a := netip.AddrFrom4([4]byte{203, 0, 113, byte(10 + w.r.IntN(4))})
	return endpoint.Endpoint{Addr: netip.AddrPortFrom(a, 1194), Proto: endpoint.UDP}
}

// hold checks what must be so at every moment.
func (w *walker) hold(effect string) {
	rec, found := w.journal.record()
	open := w.filter.have.Eval(inClear).Verdict.Passes()
	if open && w.closed && !w.opening && rec.policy().Profile == rules.Full {
		w.t.Errorf("after %s a packet in clear passes", effect)
	}
	w.closed = !open
	switch effect {
	case "replace":
		if open && rec.policy().Profile == rules.Full {
			w.t.Error("a full session is recorded, and the new rules are open")
		}
		if want, err := rules.Build(rec.policy()); err != nil || rec.Phase != Applying || want.Text() != w.filter.have.Text() {
			w.t.Errorf("rules came into force that were not recorded before (phase %s, %v)", rec.Phase, err)
		}
	case "remove":
		if !w.opening {
			w.t.Error("rules went without the user's wish")
		}
		if found && rec.Phase != Removing {
			w.t.Errorf("rules went in phase %s", rec.Phase)
		}
		if !w.routing.have.Empty() && !w.refused {
			w.t.Errorf("rules went before the steering: %q", w.routing.have.Lines())
		}
		if turned := w.knobs.off; len(turned) > 0 && !w.refused { // recover opens whatever a knob does
			w.t.Errorf("rules went before the knobs: %v", turned)
		}
	}
	if !w.routing.have.Empty() && !found && !w.refused {
		w.t.Errorf("after %s there is steering that no record speaks of: %q", effect, w.routing.have.Lines())
	}
	known := map[string]int{}
	for _, c := range rec.Knobs {
		known[c.Knob.String()] = c.Old
	}
	for knob := range w.knobs.off {
		if old, ok := known[knob]; !ok || old != w.knobs.original(knob) {
			w.t.Errorf("after %s knob %s is turned and its old value is not recorded: %v %v", effect, knob, old, ok)
		}
	}
}

// look compares what status says with what is so.
func (w *walker) look() {
	st, err := w.Status()
	if err != nil {
		w.t.Fatal(err)
	}
	rec, found := w.journal.record()
	w.passed[st.State.String()]++
	if !w.routing.have.Empty() {
		w.passed["steered"]++
	}
	tables := len(w.filter.have.Tables)
	switch {
	case st.Enforced && found && rec.Phase != Steady:
		w.t.Errorf("status says enforced in phase %s", rec.Phase)
	case st.Enforced && st.State == Open && tables > 0:
		w.t.Error("status says open, and rules are in force")
	case st.Enforced && (st.State == Sealed || st.State == Connecting) && tables == 0:
		w.t.Errorf("status says %s, and no rules are in force", st.State)
	case st.Enforced && found && rec.Refused == "" && len(route.Drift(rec.Steer, w.routing.have, func(int) bool { return false })) > 0:
		w.t.Error("status says enforced, and the steering is another than recorded")
	case !st.Enforced && len(st.Drift) == 0:
		w.t.Error("status says not enforced, and not why")
	}
}

// end is what a user does at last: everything is as it was.
func (w *walker) end() {
	w.steps, w.opening = 0, true
	w.clients.alive = map[int]uint64{}
	do := func() error { _, err := w.Recover(context.Background()); return err }
	if w.r.IntN(2) == 0 {
		do = func() error { _, err := w.Stop(context.Background(), Selection{All: true}); return err }
	}
	if err := do(); err != nil {
		w.t.Errorf("at the end: %v", err)
	}
	if turned := w.knobs.turned(); len(turned) > 0 || len(w.filter.have.Tables) > 0 || !w.routing.have.Empty() || w.journal.data != nil || len(w.journal.kept) > 0 {
		w.t.Errorf("at the end: knobs %v, %d tables, steering %q, record %s, damaged %q\n%v", turned, len(w.filter.have.Tables), w.routing.have.Lines(), w.journal.data, w.journal.kept, w.sequence)
	}
	if st, err := w.Status(); err != nil || st.State != Open || !st.Enforced {
		w.t.Errorf("at the end: %v, %v", st, err)
	}
}
