package tunnel_test

import (
	"bufio"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.zx2c4.com/wireguard/conn"
	"golang.zx2c4.com/wireguard/device"
	wgtun "golang.zx2c4.com/wireguard/tun"

	"github.com/vpnguard/vpnguard/tunnel"
	"github.com/vpnguard/vpnguard/tunnel/engine"
	"github.com/vpnguard/vpnguard/tunnel/key"
	"github.com/vpnguard/vpnguard/tunnel/tun"
)

// runTheirs is one end by wireguard-go, with its own TUN device and sockets.
func runTheirs() error {
	var o endOrder
	if err := order(&o); err != nil {
		return err
	}
	private, err := key.ParsePrivate(o.Private)
	if err != nil {
		return err
	}
	psk, err := key.ParsePreshared(o.Preshared)
	if err != nil {
		return err
	}
	t, err := wgtun.CreateTUN("own0", engine.DefaultMTU)
	if err != nil {
		return err
	}
	d := device.NewDevice(t, conn.NewDefaultBind(), device.NewLogger(device.LogLevelError, "wireguard-go: "))
	defer d.Close()
	secret, shared := private.Bytes(), psk.Bytes()
	lines := []string{"private_key=" + hex.EncodeToString(secret[:]), "listen_port=51820", "public_key=" + hex.EncodeToString(o.Peer[:]), "preshared_key=" + hex.EncodeToString(shared[:])}
	if o.Endpoint.IsValid() {
		lines = append(lines, "endpoint="+o.Endpoint.String())
	}
	for _, a := range o.Allowed {
		lines = append(lines, "allowed_ip="+a.String())
	}
	if err := d.IpcSet(strings.Join(lines, "\n") + "\n"); err != nil {
		return err
	}
	if err := d.Up(); err != nil {
		return err
	}
	addresses := []netip.Prefix{netip.PrefixFrom(o.Address[0], 24), netip.PrefixFrom(o.Address[1], 64)}
	if err := tun.Configure("own0", engine.DefaultMTU, 0, addresses); err != nil {
		return err
	}
	fmt.Println("up")
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

// blast sends or takes as much as goes by o.Count streams for two seconds.
func blast(o trafficOrder) (r result, err error) {
	const lasts = 2 * time.Second
	if o.Kind == "drain" {
		l, err := net.Listen("tcp", o.Addr.String())
		if err != nil {
			return r, err
		}
		fmt.Println("ready")
		var wg sync.WaitGroup
		var mu sync.Mutex
		var begin time.Time
		for range o.Count {
			c, err := l.Accept()
			if err != nil {
				return r, err
			}
			if begin.IsZero() {
				begin = time.Now()
			}
			wg.Go(func() {
				defer c.Close()
				buf := make([]byte, 1<<18)
				for {
					n, err := c.Read(buf)
					mu.Lock()
					r.Good += n
					mu.Unlock()
					if err != nil {
						return
					}
				}
			})
		}
		wg.Wait()
		r.Seconds = time.Since(begin).Seconds()
		return r, nil
	}
	fmt.Println("ready")
	var wg sync.WaitGroup
	for range o.Count {
		c, err := net.DialTimeout("tcp", o.Addr.String(), 10*time.Second)
		if err != nil {
			return r, err
		}
		wg.Go(func() {
			defer c.Close()
			buf := make([]byte, 1<<18)
			for end := time.Now().Add(lasts); time.Now().Before(end); {
				if _, err := c.Write(buf); err != nil {
					return
				}
			}
		})
	}
	wg.Wait()
	return r, nil
}

// cpu is the user and system time of a process in seconds (proc(5): ticks of
// one hundredth).
func cpu(t testing.TB, pid int) float64 {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	f := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	var ticks float64
	for _, s := range f[11:13] {
		n, err := strconv.ParseFloat(s, 64)
		if err != nil {
			t.Fatal(err)
		}
		ticks += n
	}
	return ticks / 100
}

// peak is the largest resident size of a process in MiB.
func peak(t testing.TB, pid int) float64 {
	t.Helper()
	f, err := os.Open(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if rest, ok := strings.CutPrefix(lines.Text(), "VmHWM:"); ok {
			kb, err := strconv.ParseFloat(strings.Fields(rest)[0], 64)
			if err != nil {
				t.Fatal(err)
			}
			return kb / 1024
		}
	}
	t.Fatal("no VmHWM")
	return 0
}

func median(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	return v[len(v)/2]
}

// BenchmarkAgainstWireguardGo moves TCP by our tunnel and by wireguard-go in
// turns, over the same cable, and reports the ratio of neighbouring rounds:
// the machine drifts, and other work on it disturbs both alike.
func BenchmarkAgainstWireguardGo(b *testing.B) {
	for _, streams := range []int{1, 4} {
		b.Run(fmt.Sprintf("streams-%d", streams), func(b *testing.B) {
			var rate, cost, ours, theirs, memory []float64
			for range max(5, b.N) {
				var gbit, perGB [2]float64
				for i, role := range []string{"end", "theirs"} {
					gbit[i], perGB[i] = round(b, role, streams, &memory)
				}
				rate, cost = append(rate, gbit[0]/gbit[1]), append(cost, perGB[0]/perGB[1])
				ours, theirs = append(ours, gbit[0]), append(theirs, gbit[1])
			}
			b.ReportMetric(median(ours), "Gbit/s")
			b.ReportMetric(median(theirs), "wireguard-go-Gbit/s")
			b.ReportMetric(median(rate), "x-rate")
			b.ReportMetric(median(cost), "x-cpu-per-byte")
			b.ReportMetric(slices.Max(memory), "MiB-peak")
		})
	}
}

// round is one transfer by fresh tunnels. It returns Gbit/s, and CPU seconds of
// both ends of the tunnel per GB.
func round(b *testing.B, role string, streams int, memory *[]float64) (gbit, perGB float64) {
	b.Helper()
	p, q := places(b, 1500)
	ep, eq := tunnelsBy(b, role, p, q, 0, engine.DefaultMTU, tunnel.Without{}, tunnel.Without{})
	p.run("busybox", "ping", "-q", "-c", "1", "-W", "7", q.in[0].String())
	addr := netip.AddrPortFrom(q.in[0], 7000)
	drain := q.traffic(trafficOrder{Kind: "drain", Addr: addr, Count: streams})
	before := cpu(b, ep.cmd.Process.Pid) + cpu(b, eq.cmd.Process.Pid)
	p.traffic(trafficOrder{Kind: "blast", Addr: addr, Count: streams}).result()
	r := drain.result()
	used := cpu(b, ep.cmd.Process.Pid) + cpu(b, eq.cmd.Process.Pid) - before
	if role == "end" {
		*memory = append(*memory, peak(b, ep.cmd.Process.Pid), peak(b, eq.cmd.Process.Pid))
	}
	ep.stop()
	eq.stop()
	return float64(r.Good) * 8 / 1e9 / r.Seconds, used / (float64(r.Good) / 1e9)
}
