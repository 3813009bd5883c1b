package tests

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vpnguard/vpnguard/blocked"
	"github.com/vpnguard/vpnguard/nft"
	"github.com/vpnguard/vpnguard/rules"
)

// BenchmarkBlocked compares packets per second of a host that is sealed with
// rules that tell of blocked packets and with rules that do not, while nobody
// listens and while somebody does: of packets that pass, which no rule tells
// of, and of packets that a program tries in vain.
func BenchmarkBlocked(b *testing.B) {
	benchLinks(b)
	conn, err := nft.Open()
	must(b, err)
	defer conn.Close()
	defer func() { must(b, conn.Remove()) }()
	silent := benchRuleset(b, 1)
	kinds := []struct {
		name  string
		send  func(testing.TB) time.Duration
		tells bool
		heard bool
	}{
		{"carrier", sendMany, false, false}, {"carrier", sendMany, true, false},
		{"blocked", sendBlocked, false, false}, {"blocked", sendBlocked, true, false}, {"blocked", sendBlocked, true, true},
	}
	for b.Loop() {
		took := make([][]time.Duration, len(kinds))
		for range benchRounds {
			for i, k := range kinds {
				rs := silent
				if k.tells {
					rs = telling(rs)
				}
				_, err := conn.Replace(rs)
				must(b, err)
				stop := func() {}
				if k.heard {
					stop = listening(b)
				}
				took[i] = append(took[i], k.send(b))
				stop()
			}
		}
		for i, k := range kinds {
			base := i
			for kinds[base].tells {
				base--
			}
			if base == i {
				continue
			}
			ratio := median(took[base]).Seconds() / median(took[i]).Seconds()
			who := map[bool]string{true: "heard", false: "nobody listens"}[k.heard]
			b.Logf("%s, %-14s %8.0f packets/s, without log %8.0f packets/s, ratio %.3f (medians of %d)", k.name, who,
				benchPackets/median(took[i]).Seconds(), benchPackets/median(took[base]).Seconds(), ratio, benchRounds)
			b.ReportMetric(ratio, fmt.Sprintf("%s-%s-ratio", k.name, map[bool]string{true: "heard", false: "unheard"}[k.heard]))
		}
	}
}

// telling is the ruleset with chains that log.
func telling(rs rules.Ruleset) rules.Ruleset {
	var out rules.Ruleset
	for _, t := range rs.Tables {
		chains := make([]rules.Chain, 0, len(t.Chains))
		for _, c := range t.Chains {
			c.Log = true
			chains = append(chains, c)
		}
		t.Chains = chains
		out.Tables = append(out.Tables, t)
	}
	return out
}

// listening hears all events until it is stopped.
func listening(b *testing.B) (stop func()) {
	b.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	l, err := blocked.Listen(ctx, rules.LogGroup)
	must(b, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			if _, err := l.Next(); err != nil {
				return
			}
		}
	}()
	return func() {
		cancel()
		<-done
		must(b, l.Close())
	}
}

// sendBlocked tries in vain.
func sendBlocked(t testing.TB) time.Duration {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	must(t, err)
	defer unix.Close(fd)
	to := &unix.SockaddrInet4{Port: 7, Addr: [4]byte{198, 51, 100, 1}}
	payload := make([]byte, 1200)
	start := time.Now()
	for range int(benchPackets) {
		if err := unix.Sendto(fd, payload, 0, to); !errors.Is(err, unix.EPERM) && !errors.Is(err, unix.EHOSTUNREACH) {
			t.Fatalf("a packet that must be refused: %v", err)
		}
	}
	return time.Since(start)
}
