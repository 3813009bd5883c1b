package tunnel_test

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"
)

// trafficOrder is what a process that makes or takes traffic is told.
type trafficOrder struct {
	Kind  string // listen, dial: TCP both ways; sink, source: UDP; drain, blast, watch, pour: TCP one way; count, shoot: UDP by many; echo: ICMP
	Addr  netip.AddrPort
	From  netip.AddrPort
	Bytes int64
	Count int
	Seed  uint64
	Lasts time.Duration
}

// result is what such a process found.
type result struct {
	Sent, Received string // hashes of TCP streams
	Good, Bad      int    // datagrams
	Seconds        float64
	P50            float64 // of round trips, microseconds
}

func runTraffic() error {
	var o trafficOrder
	if err := order(&o); err != nil {
		return err
	}
	f := map[string]func(trafficOrder) (result, error){
		"listen": listen, "dial": dial, "sink": sink, "source": source, "drain": drain, "blast": blast, "count": count, "shoot": shoot, "echo": echo, "watch": watch, "pour": pour,
	}[o.Kind]
	if f == nil {
		return fmt.Errorf("no traffic %q", o.Kind)
	}
	r, err := f(o)
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(r)
}

func listen(o trafficOrder) (r result, err error) {
	l, err := net.Listen("tcp", o.Addr.String())
	if err != nil {
		return r, err
	}
	defer l.Close()
	fmt.Println("ready")
	c, err := l.Accept()
	if err != nil {
		return r, err
	}
	return bothWays(c, o)
}

func dial(o trafficOrder) (r result, err error) {
	fmt.Println("ready")
	c, err := net.DialTimeout("tcp", o.Addr.String(), 20*time.Second)
	if err != nil {
		return r, err
	}
	return bothWays(c, o)
}

// bothWays sends and receives o.Bytes at once.
func bothWays(c net.Conn, o trafficOrder) (r result, err error) {
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(time.Minute + time.Duration(o.Bytes>>20)*50*time.Millisecond)) // 20 MiB a second
	begin := time.Now()
	var wg sync.WaitGroup
	var sendErr error
	wg.Go(func() {
		rng := rand.NewChaCha8([32]byte{byte(o.Seed)})
		h := sha256.New()
		buf := make([]byte, 1<<17)
		for left := o.Bytes; left > 0; {
			n := min(left, int64(len(buf)))
			_, _ = rng.Read(buf[:n])
			h.Write(buf[:n])
			if _, sendErr = c.Write(buf[:n]); sendErr != nil {
				return
			}
			left -= n
		}
		r.Sent = hex.EncodeToString(h.Sum(nil))
		sendErr = c.(*net.TCPConn).CloseWrite()
	})
	h := sha256.New()
	n, err := io.Copy(h, c)
	wg.Wait()
	r.Received, r.Seconds = hex.EncodeToString(h.Sum(nil)), time.Since(begin).Seconds()
	if err == nil && n != o.Bytes {
		err = fmt.Errorf("received %d of %d bytes", n, o.Bytes)
	}
	return r, errors.Join(err, sendErr)
}

// window is how many datagrams are under way at once.
const window = 64

// datagramOf makes the n-th datagram: its number, and bytes that follow from it.
func datagramOf(seed uint64, n int) []byte {
	size := 8 + int(uint64(n)*2654435761%1300)
	if n%5 != 0 { // runs of equal size, as offloads like them
		size = 200 + n/64%3*500
	}
	b := make([]byte, size)
	binary.BigEndian.PutUint64(b, uint64(n))
	for i := 8; i < size; i++ {
		b[i] = byte(seed + uint64(n)*7 + uint64(i))
	}
	return b
}

func sink(o trafficOrder) (r result, err error) {
	c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(o.Addr))
	if err != nil {
		return r, err
	}
	defer c.Close()
	_ = c.SetReadBuffer(4 << 20)
	fmt.Println("ready")
	seen := map[uint64]bool{}
	buf := make([]byte, 65536)
	for wait := 5 * time.Second; len(seen) < o.Count; wait = 500 * time.Millisecond {
		_ = c.SetReadDeadline(time.Now().Add(wait))
		n, from, err := c.ReadFromUDPAddrPort(buf)
		if err != nil {
			break // what is missing is counted by whoever asks
		}
		number := binary.BigEndian.Uint64(buf)
		if n < 8 || number >= uint64(o.Count) || seen[number] || string(buf[:n]) != string(datagramOf(o.Seed, int(number))) {
			r.Bad++
			continue
		}
		seen[number] = true
		r.Good++
		if number%window == window-1 {
			_, _ = c.WriteToUDPAddrPort([]byte{1}, from)
		}
	}
	return r, nil
}

func source(o trafficOrder) (r result, err error) {
	fmt.Println("ready")
	c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(o.Addr))
	if err != nil {
		return r, err
	}
	defer c.Close()
	for n := range o.Count {
		if _, err := c.Write(datagramOf(o.Seed, n)); err != nil {
			return r, err
		}
		if n%window == window-1 {
			// An answer, or its loss: overload is not what is tested.
			_ = c.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
			_, _ = c.Read(make([]byte, 1))
		}
	}
	return r, nil
}

// job is a traffic process that runs.
type job struct {
	t    testing.TB
	cmd  *exec.Cmd
	out  io.ReadCloser
	once sync.Once
	text []byte
	err  error
}

// traffic starts one and waits until it listens.
func (p *place) traffic(o trafficOrder) *job {
	p.t.Helper()
	j := &job{t: p.t, cmd: p.role("traffic", o)}
	var err error
	if j.out, err = j.cmd.StdoutPipe(); err != nil {
		p.t.Fatal(err)
	}
	if err := j.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	var ready [6]byte
	if _, err := io.ReadFull(j.out, ready[:]); err != nil {
		p.t.Fatalf("traffic %s: %v", o.Kind, err)
	}
	return j
}

// wait returns when the process has ended.
func (j *job) wait() {
	j.once.Do(func() {
		if j.text, j.err = io.ReadAll(j.out); j.err == nil {
			j.err = j.cmd.Wait()
		}
	})
}

func (j *job) result() (r result) {
	j.t.Helper()
	j.wait()
	if j.err == nil {
		j.err = json.Unmarshal([]byte(strings.TrimSpace(string(j.text))), &r)
	}
	if j.err != nil {
		j.t.Fatalf("traffic: %v: %s", j.err, j.text)
	}
	return r
}
