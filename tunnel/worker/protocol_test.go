package worker

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"reflect"
	"strings"
	"testing"

	"github.com/vpnguard/vpnguard/tunnel/key"
)

func TestSetupNeverPrintsItsSecrets(t *testing.T) {
	private, err := key.NewPrivate(nil)
	if err != nil {
		t.Fatal(err)
	}
	s := Setup{Name: "own0", Private: Secret(private.Reveal()), Peers: []Peer{{Preshared: Secret(private.Reveal())}}}
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
		fmt.Fprintf(&out, verb, s)
		fmt.Fprintf(&out, verb, s.Private)
	}
	slog.New(slog.NewTextHandler(&out, nil)).Info("x", "key", s.Private, "setup", s)
	if !strings.Contains(out.String(), "own0") || strings.Contains(out.String(), private.Reveal()) || strings.Contains(out.String(), fmt.Sprintf("%x", private.Reveal())) {
		t.Errorf("printed:\n%s", out.String())
	}
	// The protocol itself carries them.
	text, err := json.Marshal(Order{Setup: &s})
	var back Order
	if err == nil {
		err = json.Unmarshal(text, &back)
	}
	if err != nil || !reflect.DeepEqual(*back.Setup, s) {
		t.Errorf("%v", err)
	}
}

// Whatever is wrong is told to the supervisor, and nothing runs.
func TestWorkerRefusesWhatIsNoSetup(t *testing.T) {
	for order, says := range map[string]string{
		`{"Begin":true}`: "wait for the tunnel's setup",
		`nonsense`:       "wait for the tunnel's setup",
		`{"Setup":{"Name":"own0","Private":"x"}}`: "read the private key",
		`{"Setup":{"Name":"a/b"}}`:                "interface name",
	} {
		ours, theirs := net.Pipe()
		done := make(chan error, 1)
		go func() {
			done <- Run(Process{Control: theirs, TUN: -1, Confine: func() ([]string, error) { t.Error("confined"); return nil, nil }})
		}()
		if _, err := fmt.Fprintln(ours, order); err != nil {
			t.Fatal(err)
		}
		var r Report
		if err := json.NewDecoder(ours).Decode(&r); err != nil || !strings.Contains(r.Failed, says) {
			t.Errorf("%s: %q, %v, want %q", order, r.Failed, err, says)
		}
		if err := <-done; err == nil {
			t.Errorf("%s: no error", order)
		}
		ours.Close()
	}
}
