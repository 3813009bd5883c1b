package tunnel_test

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vpnguard/vpnguard/tunnel/engine"
	"github.com/vpnguard/vpnguard/tunnel/key"
	"github.com/vpnguard/vpnguard/tunnel/noise"
)

// floodOrder is what an attacker is told. It stands where one end's packets
// pass, records all of them, and sends what it wants from any address.
type floodOrder struct {
	Victim netip.AddrPort
	Public key.Public // the victim's
	Rate   int        // datagrams a second
	Lasts  time.Duration
}

// kinds of what is sent in a flood, in turns.
var floodKinds = []string{"garbage", "tiny", "initiation", "replay", "forgery", "other message", "oversized"}

// attacker is a running one.
type attacker struct{ *end }

// attack begins to record.
func (p *place) attack() attacker { return attacker{p.start("flood", floodOrder{})} }

// flood begins; the result of it tells how many of each kind were sent.
func (a attacker) flood(o floodOrder) {
	a.t.Helper()
	text, err := json.Marshal(o)
	if err != nil {
		a.t.Fatal(err)
	}
	fmt.Fprintln(a.in, string(text))
}

func (a attacker) sent() (counts map[string]int) {
	a.t.Helper()
	line, err := a.out.ReadString('\n')
	if err == nil {
		err = json.Unmarshal([]byte(line), &counts)
	}
	if err != nil {
		a.t.Fatalf("a flood: %q, %v", line, err)
	}
	return counts
}

// runFlood is the attacker's own process.
func runFlood() error {
	// Recording stops by itself when there is enough.
	tap, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, int(binary.NativeEndian.Uint16([]byte{unix.ETH_P_ALL >> 8, unix.ETH_P_ALL & 255})))
	if err != nil {
		return err
	}
	defer unix.Close(tap)
	var seen recorded
	go seen.record(tap)
	fmt.Println("up")
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		var o floodOrder
		if err := json.Unmarshal(lines.Bytes(), &o); err != nil {
			return err
		}
		counts, err := flood(o, seen.to(o.Victim))
		if err != nil {
			return err
		}
		if err := json.NewEncoder(os.Stdout).Encode(counts); err != nil {
			return err
		}
	}
	return nil
}

// recorded are IPv4 packets with UDP that passed.
type recorded struct {
	mu      sync.Mutex
	packets [][]byte
}

func (r *recorded) record(tap int) {
	buf := make([]byte, 2048)
	for {
		n, err := unix.Read(tap, buf)
		if err != nil {
			return
		}
		if n > 28 && n < len(buf) && buf[0] == 0x45 && buf[9] == unix.IPPROTO_UDP && int(binary.BigEndian.Uint16(buf[2:])) == n {
			r.mu.Lock()
			if len(r.packets) < 2000 {
				r.packets = append(r.packets, append([]byte(nil), buf[:n]...))
			}
			r.mu.Unlock()
		}
	}
}

// to returns those to an address, without the checksum of UDP, which the card
// would have completed.
func (r *recorded) to(addr netip.AddrPort) (out [][]byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range r.packets {
		if netip.AddrFrom4([4]byte(p[16:20])) == addr.Addr() && binary.BigEndian.Uint16(p[22:]) == addr.Port() {
			p[26], p[27] = 0, 0
			out = append(out, p)
		}
	}
	return out
}

// flood sends o.Rate datagrams a second of every kind in turns.
func flood(o floodOrder, seen [][]byte) (map[string]int, error) {
	if len(seen) == 0 {
		return nil, errors.New("nothing was recorded that could be replayed")
	}
	strange, err := strangers(o.Public, 300)
	if err != nil {
		return nil, err
	}
	raw, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
	if err != nil {
		return nil, err
	}
	defer unix.Close(raw)
	plain, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(plain)
	for _, fd := range []int{raw, plain} {
		if err := unix.Connect(fd, sockaddr(o.Victim)); err != nil {
			return nil, err
		}
	}
	rng := rand.New(rand.NewPCG(1, 2))
	noisy := func(n int, first ...byte) []byte {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(rng.Uint32())
		}
		copy(b, first)
		return b
	}
	counts := map[string]int{}
	total := 0
	for begin := time.Now(); time.Since(begin) < o.Lasts; {
		if total >= int(float64(o.Rate)*time.Since(begin).Seconds()) {
			time.Sleep(200 * time.Microsecond)
			continue
		}
		kind := floodKinds[total%len(floodKinds)]
		fd, packet := raw, []byte(nil)
		switch kind {
		case "garbage":
			packet = spoofed(rng, o.Victim, noisy(1+rng.IntN(1400)))
		case "tiny":
			packet = spoofed(rng, o.Victim, noisy(rng.IntN(32), 4, 0, 0, 0))
		case "initiation":
			packet = spoofed(rng, o.Victim, strange[rng.IntN(len(strange))])
		case "replay": // as it was, from the true address
			packet = seen[rng.IntN(len(seen))]
		case "forgery": // one bit of what was true, from the true address
			packet = append([]byte(nil), seen[rng.IntN(len(seen))]...)
			packet[28+rng.IntN(len(packet)-28)] ^= 1 << rng.IntN(8)
		case "other message": // a response, a cookie, a packet of a session that is none
			kinds := [][]byte{noisy(noise.ResponseSize, 2, 0, 0, 0), noisy(noise.CookieSize, 3, 0, 0, 0), noisy(200, 4, 0, 0, 0)}
			packet = spoofed(rng, o.Victim, kinds[rng.IntN(len(kinds))])
		case "oversized": // in fragments
			fd, packet = plain, noisy(2000, byte(1+rng.IntN(4)), 0, 0, 0)
			if total%1001 == 6 {
				packet = noisy(65507, 4, 0, 0, 0)
			}
		}
		total++
		_, err := unix.Write(fd, packet)
		if err == nil {
			counts[kind]++
		} else if !errors.Is(err, unix.ENOBUFS) && !errors.Is(err, unix.EINTR) && !errors.Is(err, unix.ECONNREFUSED) {
			return nil, fmt.Errorf("send %s: %w", kind, err)
		}
	}
	return counts, nil
}

// spoofed is a datagram from some address of the cable's network.
func spoofed(rng *rand.Rand, to netip.AddrPort, data []byte) []byte {
	p := make([]byte, 28+len(data))
	p[0], p[8], p[9] = 0x45, 64, unix.IPPROTO_UDP
	binary.BigEndian.PutUint16(p[2:], uint16(len(p)))
	copy(p[12:], []byte{198, 51, 100, byte(10 + rng.IntN(240))})
	copy(p[16:], to.Addr().AsSlice())
	binary.BigEndian.PutUint16(p[20:], uint16(1024+rng.IntN(60000)))
	binary.BigEndian.PutUint16(p[22:], to.Port())
	binary.BigEndian.PutUint16(p[24:], uint16(8+len(data)))
	copy(p[28:], data)
	return p
}

// strangers makes initiations with a right MAC1 by one whom the victim does not know.
func strangers(public key.Public, n int) (out [][]byte, err error) {
	private, err := key.NewPrivate(nil)
	if err != nil {
		return nil, err
	}
	e, err := engine.New(engine.Config{Private: private, Send: func(_ engine.Way, d []byte) { out = append(out, append([]byte(nil), d...)) }})
	if err != nil {
		return nil, err
	}
	for now := time.Hour; len(out) < n; now += 6 * time.Second {
		if err := e.SetPeer(now, engine.PeerConfig{Public: public, Endpoint: netip.MustParseAddrPort("192.0.2.9:9"), Keepalive: time.Second}); err != nil {
			return nil, err
		}
		e.Tick(now)
	}
	return out, nil
}

// What arrives at the wire's end of a place: datagrams that its sockets took,
// and those that they had no room for.
func (p *place) datagramsIn(t testing.TB) (n int) {
	t.Helper()
	var names, values []string
	for _, line := range splitLines(p.run("cat", "/proc/net/snmp")) {
		if len(line) > 0 && line[0] == "Udp:" {
			names, values = values, line
		}
	}
	for i, name := range names {
		if name == "InDatagrams" || name == "RcvbufErrors" {
			var v int
			if _, err := fmt.Sscan(values[i], &v); err != nil {
				t.Fatal(err)
			}
			n += v
		}
	}
	return n
}
