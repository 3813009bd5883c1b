package tunnel

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/vpnguard/vpnguard/tunnel/tun"
	"github.com/vpnguard/vpnguard/tunnel/udp"
)

func TestProbeChangesNothingAndFindsWhatThisKernelHas(t *testing.T) {
	own, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	links := func() []net.Interface {
		all, err := net.Interfaces()
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	before := links()
	for range 20 { // on whatever thread
		found, err := Probe()
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range found {
			if p.Err != nil { // the devices of the other tests use all of them
				t.Errorf("%s: %v", p.Name, p.Err)
			}
		}
		if len(found) != 5 {
			t.Errorf("%d parts", len(found))
		}
	}
	if after := links(); !reflect.DeepEqual(before, after) {
		t.Errorf("interfaces %v, before %v", after, before)
	}
	// The last thread that was used ends after its answer.
	elsewhere := func() (list []string) {
		threads, err := filepath.Glob("/proc/self/task/*/ns/net")
		if err != nil || len(threads) == 0 {
			t.Fatalf("%d threads, %v", len(threads), err)
		}
		for _, path := range threads {
			if ns, err := os.Readlink(path); err == nil && ns != own {
				list = append(list, path+" is "+ns)
			}
		}
		return list
	}
	list := elsewhere()
	for end := time.Now().Add(5 * time.Second); len(list) > 0 && time.Now().Before(end); list = elsewhere() {
		time.Sleep(10 * time.Millisecond)
	}
	if len(list) > 0 {
		t.Errorf("threads stay elsewhere, want %s: %q", own, list)
	}
}

func TestPartsNameWhatIsMissing(t *testing.T) {
	for i, c := range []struct {
		t      tun.Offload
		u      udp.Offload
		broken bool
		err    error
	}{
		{tun.Offload{TCP: true, UDP: true}, udp.All, false, errLacks},
		{tun.Offload{Header: true, UDP: true}, udp.All, false, errLacks},
		{tun.Offload{Header: true, TCP: true}, udp.All, false, errLacks},
		{tun.All, udp.Offload{Gather: true}, false, errLacks},
		{tun.All, udp.Offload{Segment: true}, false, errLacks},
		{tun.All, udp.All, true, errBroken},
	} {
		at := min(i, 4)
		if c.broken {
			at = 3
		}
		for j, p := range parts(c.t, c.u, c.broken) {
			if j == at && !errors.Is(p.Err, c.err) || j != at && p.Err != nil {
				t.Errorf("case %d: %s: %v", i, p.Name, p.Err)
			}
		}
	}
}
