package scenario

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/vpnguard/vpnguard/audit/evidence"
	"github.com/vpnguard/vpnguard/lab/wire"
)

// Evidence crosses a pipe between two processes: what it loses there is lost for
// every verdict.
func TestEvidenceCrossesThePipeUnchanged(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
	c := evidence.Case{ID: "x", Variant: "y", Runs: []evidence.Run{{
		Phase: evidence.Guarded, Started: at, Ended: at.Add(time.Second),
		Stimuli: []evidence.Stimulus{{Name: "s", Marks: [][]byte{{1, 2}}, Signs: evidence.Signs{Mentions: []netip.Addr{netip.MustParseAddr("10.8.0.2")}, Flows: []evidence.Flow{{Proto: 6, SrcPort: 7}}}}},
		Captures: []evidence.Capture{{
			Vantage: "wire", Count: 1, Frames: []wire.Frame{{Time: at, Data: []byte{3, 4}, Len: 2}},
			Declared: evidence.Declared{Never: []netip.Addr{netip.MustParseAddr("fd00::1")}, Entries: []evidence.Entry{{To: netip.MustParsePrefix("192.0.2.1/32")}}},
		}},
		Oracles:  []evidence.Reading{{What: "w", Probed: 3, Window: &evidence.Window{Vantage: "wire", From: at}}},
		Timeline: &evidence.Timeline{Nonce: "n", Events: []evidence.Event{{At: at, What: "e"}}},
	}}}
	var pipe bytes.Buffer
	e := json.NewEncoder(&pipe)
	for _, r := range []Report{{Doing: "d", Done: 1, Total: 2}, {Case: &c}, {End: &End{Interrupted: "i"}}} {
		if err := encodeReport(e, r); err != nil {
			t.Fatal(err)
		}
	}
	var got *evidence.Case
	if err := decode(&pipe, func(r Report) {
		if r.Case != nil {
			got = r.Case
		}
	}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(&c, got, cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{})); diff != "" {
		t.Errorf("sent and received differ:\n%s", diff)
	}
}

func TestALaboratoryThatSaysNoEndIsBroken(t *testing.T) {
	var pipe bytes.Buffer
	if err := encodeReport(json.NewEncoder(&pipe), Report{Doing: "d"}); err != nil {
		t.Fatal(err)
	}
	for _, in := range []io.Reader{&pipe, bytes.NewReader(nil), bytes.NewReader([]byte("text"))} {
		if err := decode(in, func(Report) {}); !errors.Is(err, ErrBroken) {
			t.Errorf("%v, want %v", err, ErrBroken)
		}
	}
}

func TestAnOrderThatCannotBeReadIsAnError(t *testing.T) {
	var message bytes.Buffer
	if code := Serve(t.Context(), bytes.NewReader([]byte("no order")), io.Discard, &message); code == 0 || message.Len() == 0 {
		t.Errorf("exit %d: %q", code, message.String())
	}
}
