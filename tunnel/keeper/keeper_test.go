package keeper

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vpnguard/vpnguard/tunnel/key"
	"github.com/vpnguard/vpnguard/tunnel/worker"
)

// fake is a process whose other end the test is.
type fake struct {
	t      *testing.T
	orders *json.Decoder
	say    *worker.Sender
	conn   net.Conn
	ended  chan error
	killed chan struct{}
}

func (f *fake) order() (o worker.Order) {
	f.t.Helper()
	if err := f.orders.Decode(&o); err != nil {
		f.t.Fatalf("wait for an order: %v", err)
	}
	return o
}

func (f *fake) report(r worker.Report) {
	f.t.Helper()
	if err := f.say.Send(r); err != nil {
		f.t.Fatal(err)
	}
}

// end hangs up and ends.
func (f *fake) end(err error) {
	f.conn.Close()
	f.ended <- err
}

// stage is a keeper with fakes for processes.
type stage struct {
	*Keeper
	t       *testing.T
	started chan *fake
	refuse  error // of the next start
	events  chan Event
	done    chan error
	cancel  context.CancelFunc
	mu      sync.Mutex
	pauses  []int
}

func newStage(t *testing.T) *stage {
	s := &stage{t: t, started: make(chan *fake, 8), events: make(chan Event, 64), done: make(chan error, 1)}
	s.Keeper = New(worker.Setup{Name: "own0", Private: "secret", Peers: []worker.Peer{{Public: key.Public{1}}}}, s.start, func(e Event) { s.events <- e })
	s.Pause = func(n int) time.Duration {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.pauses = append(s.pauses, n)
		return 0
	}
	ctx, cancel := context.WithCancel(t.Context())
	s.cancel = cancel
	go func() { s.done <- s.Run(ctx) }()
	return s
}

func (s *stage) start() (Child, error) {
	if s.refuse != nil {
		return Child{}, s.refuse
	}
	ours, theirs := net.Pipe()
	f := &fake{s.t, json.NewDecoder(theirs), worker.NewSender(theirs), theirs, make(chan error, 2), make(chan struct{})}
	s.started <- f
	return Child{PID: 7, Control: ours, Kill: func() { close(f.killed); f.ended <- errors.New("killed") }, Wait: func() error { return <-f.ended }}, nil
}

// worker waits for the next process, gives it its setup and lets it be ready.
func (s *stage) worker(port uint16) (*fake, worker.Setup) {
	s.t.Helper()
	f := <-s.started
	o := f.order()
	if o.Setup == nil {
		s.t.Fatalf("the first order is %+v", o)
	}
	f.report(worker.Report{Ready: &worker.Ready{Port: port}})
	if e := <-s.events; e.Ready == nil || e.Ready.Port != port {
		s.t.Fatalf("event %+v", e)
	}
	return f, *o.Setup
}

func TestWorkerSendsNothingBeforeItIsLet(t *testing.T) {
	s := newStage(t)
	f, setup := s.worker(4000)
	if setup.Name != "own0" || setup.Private != "secret" {
		t.Errorf("setup %s", setup.Name)
	}
	orders := make(chan worker.Order)
	go func() {
		var o worker.Order
		_ = f.orders.Decode(&o) // the zero order is none
		orders <- o
	}()
	select {
	case o := <-orders:
		t.Fatalf("%+v before the host is closed", o)
	case <-time.After(50 * time.Millisecond):
	}
	s.Begin()
	s.Begin()
	if o := <-orders; !o.Begin {
		t.Errorf("order %+v", o)
	}
	f.report(worker.Report{Completed: &key.Public{1}})
	if e := <-s.events; e.Completed == nil {
		t.Errorf("event %+v", e)
	}
	s.cancel()
	f.end(nil)
	if err := <-s.done; err != nil {
		t.Error(err)
	}
}

// A new worker has the port of the one before, and begins by itself.
func TestWorkerThatEndsIsFollowedByAnother(t *testing.T) {
	s := newStage(t)
	s.Begin()
	f, _ := s.worker(4000)
	f.order()
	f.end(errors.New("signal: killed"))
	if e := <-s.events; e.Ended == nil || !strings.Contains(e.Ended.Error(), "pid 7): signal: killed") {
		t.Fatalf("event %+v", e)
	}
	f, setup := s.worker(4000)
	if setup.Port != 4000 {
		t.Errorf("port %d, want that of the one before", setup.Port)
	}
	if o := f.order(); !o.Begin {
		t.Errorf("order %+v", o)
	}
	f.report(worker.Report{Failed: "the device is gone"})
	if e := <-s.events; e.Ended == nil || e.Ended.Error() != "the device is gone" {
		t.Errorf("event %+v", e)
	}
	f.end(nil)
	// One that cannot even be made ready gives the port up.
	f = <-s.started
	f.order()
	f.end(nil)
	<-s.events
	f = <-s.started
	if o := f.order(); o.Setup.Port != 0 {
		t.Errorf("port %d after one that could not have it", o.Setup.Port)
	}
	s.cancel()
	f.end(nil)
	<-s.done
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.pauses) != 3 || s.pauses[0] != 1 || s.pauses[2] != 3 {
		t.Errorf("pauses after %v", s.pauses)
	}
}

// What one was told to change, the next is given; what it may not change, not.
func TestWorkerIsGivenWhatTheOneBeforeChanged(t *testing.T) {
	private, err := key.NewPrivate(nil)
	if err != nil {
		t.Fatal(err)
	}
	s := newStage(t)
	f, _ := s.worker(4000)
	s.Keeper.Setup.Private = worker.Secret(private.Reveal()) // Run reads it at the next start
	away := netip.MustParseAddrPort("192.0.2.1:9")
	f.report(worker.Report{Changed: &worker.Change{Peers: []worker.PeerChange{{Public: key.Public{1}}}}})
	f.report(worker.Report{Changed: &worker.Change{Peers: []worker.PeerChange{{Public: key.Public{2}, Endpoint: &away}}}})
	if e := <-s.events; e.Refused == nil || !strings.Contains(e.Refused.Error(), "cannot be at 192.0.2.1:9") {
		t.Errorf("event %+v", e)
	}
	f.end(errors.New("signal: killed"))
	<-s.events
	f, setup := s.worker(4000)
	if len(setup.Peers) != 1 || setup.Peers[0].Public != (key.Public{1}) {
		t.Errorf("the next one is given the peers %v", setup.Peers)
	}
	s.cancel()
	f.end(nil)
	<-s.done
}

func TestFirstWorkerThatFailsIsAnError(t *testing.T) {
	s := newStage(t)
	f := <-s.started
	f.order()
	f.report(worker.Report{Failed: "confine: no"})
	f.end(nil)
	if err := <-s.done; err == nil || err.Error() != "confine: no" {
		t.Errorf("%v", err)
	}
}

// One that does not end when it is hung up on is killed.
func TestWorkerThatHangsIsKilled(t *testing.T) {
	s := newStage(t)
	f, _ := s.worker(4000)
	s.cancel()
	<-f.killed
	if err := <-s.done; err != nil {
		t.Error(err)
	}
}

func TestPausesGrowToFiveSeconds(t *testing.T) {
	last := time.Duration(0)
	for n := 1; n < 30; n++ {
		p := Pause(n)
		if p < last || p > 5*time.Second || n == 1 && p != 0 || n == 2 && p != 50*time.Millisecond {
			t.Errorf("pause %d is %v after %v", n, p, last)
		}
		last = p
	}
	if last != 5*time.Second {
		t.Errorf("the longest pause is %v", last)
	}
}

func TestWorkerThatReportsWithoutEndIsKilled(t *testing.T) {
	s := newStage(t)
	f, _ := s.worker(4000)
	written := make(chan int, 1)
	go func() {
		part, sum := []byte(strings.Repeat("x", 1<<16)), 0
		for {
			n, err := f.conn.Write(part)
			if sum += n; err != nil {
				written <- sum
				return
			}
		}
	}()
	<-f.killed
	if n := <-written; n > maxReport+1<<16 {
		t.Errorf("%d bytes were read", n)
	}
	if e := <-s.events; e.Ended == nil {
		t.Errorf("event %+v", e)
	}
	next, _ := s.worker(4000)
	s.cancel()
	next.end(nil)
	<-s.done
}

// A move reaches the worker that runs and those that follow, and of several that
// nobody took yet the last one counts.
func TestWorkersLearnWherePeersAre(t *testing.T) {
	s := newStage(t)
	peer := key.Public{1}
	place := func(port uint16) worker.Move {
		at := []netip.AddrPort{netip.AddrPortFrom(netip.MustParseAddr("192.0.2.1"), port)}
		return worker.Move{Sealed: at, Peers: []worker.Place{{Public: peer, Endpoints: at}, {Public: key.Public{2}, Endpoints: at}}}
	}
	f := <-s.started
	if o := f.order(); o.Setup == nil || len(o.Setup.Sealed) != 0 {
		t.Fatalf("the first order is %+v", o)
	}
	f.report(worker.Report{Ready: &worker.Ready{Port: 1}})
	<-s.events
	f.report(worker.Report{Unanswered: &worker.Unanswered{Peer: peer, InARow: 2}})
	if e := <-s.events; e.Unanswered == nil || *e.Unanswered != (worker.Unanswered{Peer: peer, InARow: 2}) {
		t.Fatalf("event %+v", e)
	}
	s.Move(place(7))
	if o := f.order(); o.Move == nil || o.Move.Sealed[0].Port() != 7 {
		t.Fatalf("order %+v", o)
	}
	f.end(errors.New("killed"))
	<-s.events
	f, setup := s.worker(1)
	if len(setup.Peers) != 1 || len(setup.Sealed) != 1 || setup.Sealed[0].Port() != 7 || setup.Peers[0].Endpoints[0].Port() != 7 {
		t.Errorf("the next worker's setup: %+v", setup)
	}
	s.cancel()
	f.end(nil)
	<-s.done
	// Nobody runs: nobody waits for anybody.
	s.Move(place(8))
	s.Move(place(9))
	if m := s.moves(); m == nil || m.Sealed[0].Port() != 9 || s.moves() != nil || s.Setup.Sealed[0].Port() != 9 {
		t.Errorf("moves that nobody took: %+v", m)
	}
}
