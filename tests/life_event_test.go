package tests

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/vpnguard/vpnguard/lab"
	"github.com/vpnguard/vpnguard/lab/openvpn"
	"github.com/vpnguard/vpnguard/lab/probe"
	"github.com/vpnguard/vpnguard/lab/site"
	"github.com/vpnguard/vpnguard/lab/wire"
)

// An event happens to a client whose programs send all the time.
type event struct {
	server openvpn.Server
	second *openvpn.Server // for fail-over; may be nil
	client openvpn.Client  // its remotes are the servers, if it names none
	other  *openvpn.Client // that runs besides; may be nil
	// prepare, if not nil, runs before the client starts.
	prepare func(*life)
	// happens makes the event happen and returns when it is over.
	happens func(*life)
	// kept says that the tunnel stays where it is, so that only programs which
	// choose the wire themselves leak without a guard.
	kept bool
	// bound is where such programs send to; zero: 8.8.8.8.
	bound netip.AddrPort
	// routeless says that nothing leads into the tunnel.
	routeless bool
	// also are carriers besides the servers.
	also []wire.Carrier
	// explains, if not nil, is another reason for a frame.
	explains func(wire.Frame) bool
}

// A life is that of one client, from its first tunnel to its end.
type life struct {
	*scene
	event   event
	guarded bool // the hooks are wired
	before  lab.Snapshot
	client  *openvpn.Process
	twin    *openvpn.Process // the other client
	servers []*openvpn.Process
	streams []*running
	mark    lab.Mark
	last    lab.Mark // the end of what is judged; zero: all is
}

// running is a stream of 1000 datagrams a second.
type running struct {
	name string
	*lab.Stream
	bound bool         // to the wire, past every route
	count *probe.Count // once it has ended
}

// test lets the event happen without the hooks, which must show the leak, and
// with them, which must show nothing. What follows is for then. Most of both is
// waiting for OpenVPN's timers, so that they run side by side, each in a
// laboratory of its own.
func (e event) test(t *testing.T, then func(*life)) {
	t.Helper()
	t.Run("without hooks", func(t *testing.T) {
		t.Parallel()
		l := e.begin(t, false)
		e.happens(l)
		l.over()
	})
	t.Run("with hooks", func(t *testing.T) {
		t.Parallel()
		l := e.begin(t, true)
		e.happens(l)
		l.over()
		then(l)
	})
}

// begin connects the client and starts the streams.
func (e event) begin(t testing.TB, guarded bool) *life {
	t.Helper()
	l := &life{scene: newScene(t, ""), event: e, guarded: guarded}
	for _, srv := range l.listen() {
		l.servers = append(l.servers, l.serve(srv))
	}
	if e.prepare != nil {
		e.prepare(l)
	}
	l.before = l.snapshot()
	l.launch()
	l.up(1)
	if e.other != nil {
		l.twin = l.begun(*e.other)
		l.try(l.twin.WaitUp(l.ctx, 1))
	}
	l.send()
	return l
}

func (l *life) listen() []openvpn.Server {
	list := []openvpn.Server{l.event.server}
	if l.event.second != nil {
		list = append(list, *l.event.second)
	}
	for i := range list {
		list[i].Extra = l.inLab(list[i].Extra)
	}
	return list
}

// labDir stands for the laboratory's directory in lines of both sides.
const labDir = "LABDIR"

func (l *life) inLab(lines []string) []string {
	lines = slices.Clone(lines)
	for i := range lines {
		lines[i] = strings.ReplaceAll(lines[i], labDir, l.lab.Dir)
	}
	return lines
}

// launch starts the client, again if there was one.
func (l *life) launch() {
	l.Helper()
	c := l.event.client
	if c.Remotes == nil && !slices.ContainsFunc(c.Extra, func(s string) bool { return strings.HasPrefix(s, "remote ") }) {
		c.Remotes = remotes(l.listen()...)
	}
	l.client = l.begun(c)
}

// begun starts a client with its hooks, or without.
func (l *life) begun(c openvpn.Client) *openvpn.Process {
	l.Helper()
	c.Up, c.Down = l.hookLine(c.Up, "up"), l.hookLine(c.Down, "down")
	c.Extra = l.inLab(c.Extra)
	if !l.guarded {
		c.Extra = slices.DeleteFunc(c.Extra, func(s string) bool { return strings.Contains(s, theProgram) })
	}
	for i := range c.Extra {
		c.Extra[i] = strings.ReplaceAll(c.Extra[i], theProgram, l.exe)
	}
	p, err := c.Start(l.ctx, l.lab, l.pki)
	l.try(err)
	return p
}

// theProgram stands for the path of vpnguard in a client's lines; without the
// hooks such lines are left out. A client with noHook has none either way.
const (
	theProgram = "VPNGUARD"
	noHook     = "none"
)

// hookLine is the command of a hook, as the README says unless the event does.
func (l *life) hookLine(given, command string) string {
	switch {
	case !l.guarded || given == noHook:
		return ""
	case given == "":
		return l.exe + " " + command
	}
	return l.inLab([]string{strings.ReplaceAll(given, theProgram, l.exe)})[0]
}

// send starts the streams; from here on every frame is judged.
func (l *life) send() {
	l.Helper()
	if !l.event.routeless {
		l.carries()
	}
	mark, err := l.lab.Capture().Mark(l.ctx)
	l.try(err)
	l.mark = mark
	to := func(a netip.Addr) netip.AddrPort { return netip.AddrPortFrom(a, probe.EchoPort) }
	l.stream("IPv4", probe.Stream{To: to(site.Public)})
	l.stream("IPv6", probe.Stream{To: to(site.Public6)})
	// Without its tunnel a sealed host refuses by its routes, but not these.
	if l.event.kept || l.guarded {
		bound := l.event.bound
		if !bound.IsValid() {
			bound = to(site.Public)
		}
		l.stream("bound", probe.Stream{To: bound, Dev: "eth0"})
	}
}

func (l *life) stream(name string, s probe.Stream) {
	l.Helper()
	s.Rate, s.For = 1000, 2*sceneTime
	st, err := l.lab.Stream(l.ctx, l.lab.Client, l.user, s)
	l.try(err)
	l.streams = append(l.streams, &running{name: name, Stream: st, bound: s.Dev != ""})
}

func (l *life) try(err error) {
	l.Helper()
	if err != nil {
		log := ""
		if l.client != nil {
			log = l.client.Log()
		}
		l.Fatalf("%v\n%s", err, log)
	}
}

// up waits until the tunnel has come up for the n-th time of this client.
func (l *life) up(n int) {
	l.Helper()
	l.try(l.client.WaitUp(l.ctx, n))
}

// works demands a sealed host whose tunnel works.
func (l *life) works() {
	l.Helper()
	l.is("sealed")
	l.carries()
}

// away waits, while the client is away, until its absence shows: without a
// guard by the streams in clear, with one by what the seal blocks of them.
func (l *life) away() {
	l.Helper()
	if l.guarded {
		l.blocks()
	} else {
		l.exposed()
	}
}

// enough datagrams prove that a stream shows, or is stopped.
const enough = 100

// exposed waits until every stream that can leak does.
func (l *life) exposed() {
	l.Helper()
	clear := func() map[string]int {
		l.sync()
		n, frames := map[string]int{}, l.lab.Capture().Since(l.mark)
		for _, s := range l.streams {
			n[s.name] = len(wire.Numbers(frames, s.Nonce))
		}
		return n
	}
	from := clear()
	for {
		now := clear()
		if !slices.ContainsFunc(l.streams, func(s *running) bool {
			return (s.bound || !l.event.kept) && now[s.name] < from[s.name]+enough
		}) {
			return
		}
		l.pause("every stream shows")
	}
}

// sync waits for the capture. Frames that a busy machine lost make a leak look
// smaller, which a control can bear and a seal cannot.
func (l *life) sync() {
	l.Helper()
	err := l.lab.Capture().Sync(l.ctx)
	if errors.Is(err, lab.ErrLost) && (!l.guarded || l.last > 0) {
		return
	}
	l.try(err)
}

// blocks waits until the seal has stopped that many more packets.
func (l *life) blocks() {
	l.Helper()
	from := l.view().blocked()
	l.until("the seal blocks the streams", func(v view) bool {
		from = min(from, v.blocked()) // new rules count from zero
		return v.blocked() >= from+enough
	})
}

// opens lets a cause end the client. It demands that the host stays closed
// until the hook has the lock that it needs to open it, and is open then.
func (l *life) opens(cause func()) {
	l.Helper()
	if !l.guarded {
		cause()
		l.ended(0)
		l.exposed()
		return
	}
	lock := l.hold()
	cause()
	l.hook()
	l.blocks()
	last, err := l.lab.Capture().Mark(l.ctx)
	l.try(err)
	l.last = last
	lock.release()
	l.ended(0)
	l.exposed()
}

// over ends the streams and judges what the wire showed.
func (l *life) over() {
	l.Helper()
	frames := l.frames()
	policy := l.carriers()
	for _, s := range l.streams {
		policy.Forbidden.Needles = append(policy.Forbidden.Needles, []byte(s.Nonce))
	}
	for _, s := range l.streams {
		l.finish(s)
		l.account(s, wire.Numbers(frames, s.Nonce))
	}
	l.streams = nil
	v := policy.Judge(frames)
	if l.guarded && len(v.Leaks) > 0 {
		l.Errorf("with the hooks: %v\n%s", v, l.client.Log())
	}
	if !l.guarded {
		v.Leaks = nil // the streams' accounts say it shorter
	}
	l.Logf("on the wire: %v", v)
}

func (l *life) finish(s *running) {
	l.Helper()
	if s.count != nil {
		return
	}
	count, err := s.Stop()
	l.try(err)
	s.count = &count
}

// hush ends streams early; what they sent is judged all the same.
func (l *life) hush(names ...string) {
	l.Helper()
	for _, s := range l.streams {
		if slices.Contains(names, s.name) {
			l.finish(s)
		}
	}
}

// account logs one stream and demands a leak of the control, none otherwise.
func (l *life) account(s *running, clear []uint64) {
	l.Helper()
	tried := s.count.Sent + s.count.Refused
	text := fmt.Sprintf("stream %s: %d tried, %d of them refused, %d in clear", s.name, tried, s.count.Refused, len(clear))
	if len(clear) > 0 {
		text += fmt.Sprintf(", from number %d to %d", clear[0], clear[len(clear)-1])
	}
	l.Log(text)
	switch {
	case tried < enough/2: // a busy machine starts a stream late
		l.Errorf("stream %s hardly tried: %+v", s.name, s.count)
	case l.guarded && len(clear) > 0:
		l.Errorf("stream %s leaked", s.name)
	case !l.guarded && len(clear) == 0 && (s.bound || !l.event.kept):
		l.Errorf("stream %s does not show without the hooks: this proves nothing", s.name)
	}
}

// frames are those from the start of the streams to now, or to where the host
// was meant to open.
func (l *life) frames() []wire.Frame {
	l.Helper()
	l.sync()
	frames := l.lab.Capture().Since(l.mark)
	if l.last > 0 {
		return frames[:l.last-l.mark]
	}
	return frames
}

// carriers explains what all servers of the event may be sent.
func (l *life) carriers() wire.Policy {
	list := slices.Clone(l.event.also)
	for _, srv := range l.listen() {
		list = append(list, l.policy(srv).Carriers...)
	}
	p := l.lab.Policy(list...)
	p.Also = l.event.explains
	return p
}
