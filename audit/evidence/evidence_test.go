package evidence

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/vpnguard/vpnguard/lab/wire"
)

func TestWhatIsUnknownCountsAsTheWorst(t *testing.T) {
	ordered := []Severity{Info, Low, Medium, High, Critical}
	for i, s := range ordered {
		if s.Rank() != i {
			t.Errorf("%q has the rank %d, want %d", s, s.Rank(), i)
		}
	}
	for _, s := range []Severity{"", "severe", "Low"} {
		if s.Rank() != Critical.Rank() {
			t.Errorf("%q has the rank %d", s, s.Rank())
		}
	}
}

func TestTheZeroCaptureDecidesAndExplainsNothing(t *testing.T) {
	if !(Capture{}).Deciding() {
		t.Error("the zero capture does not decide")
	}
	if (Capture{Role: Inside}).Deciding() || !(Capture{Role: Inside, Decides: true}).Deciding() {
		t.Error("a tunnel decides only where it says so")
	}
}

func TestSignsKeepWhatAProbeRecognisesItsFramesBy(t *testing.T) {
	want := wire.Evidence{Needles: [][]byte{[]byte("a"), {0}}, Flows: []wire.Flow{{To: netip.MustParseAddr("8.8.8.8"), Proto: 17, SrcPort: 1, DstPort: 2}, {DstPort: 53}}}
	if d := cmp.Diff(want, SignsOf(want).Wire(), cmpopts.EquateComparable(netip.Addr{})); d != "" {
		t.Error(d)
	}
}
