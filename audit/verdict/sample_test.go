package verdict_test

import (
	"encoding/binary"
	"testing"

	"github.com/vpnguard/vpnguard/audit/evidence"
	"github.com/vpnguard/vpnguard/audit/policy"
	"github.com/vpnguard/vpnguard/audit/verdict"
	"github.com/vpnguard/vpnguard/internal/sample"
	"github.com/vpnguard/vpnguard/lab/wire"
)

const nonce = "vgnonce"

var (
	at, packet, carrier         = sample.At, sample.Packet, sample.Carrier
	host, server, public, inner = sample.Host, sample.Server, sample.Public, sample.Inner
)

func leaked(ms int) wire.Frame    { return packet(ms, true, host, public, 53, "x"+nonce) }
func tunnelled(ms int) wire.Frame { return packet(ms, false, inner, public, 53, "x"+nonce) }

func numbered(n uint64) string {
	return nonce + string(binary.BigEndian.AppendUint64(nil, n))
}

func control() evidence.Run {
	return sample.Run(evidence.Control, nonce, []wire.Frame{carrier(5), leaked(30)}, nil)
}

func guarded() evidence.Run {
	return sample.Run(evidence.Guarded, nonce, []wire.Frame{carrier(5), carrier(40)}, []wire.Frame{tunnelled(39)})
}

func passing() evidence.Case {
	return evidence.Case{ID: "bind-to-device", Variant: "udp", Title: "sends past the tunnel", Runs: []evidence.Run{control(), guarded()}}
}

func judged(c evidence.Case, p policy.Policy) verdict.Result {
	return verdict.Case(&c, p, 1, at(1000))
}

func wantVerdict(t *testing.T, r verdict.Result, want verdict.Verdict) {
	t.Helper()
	if r.Verdict != want {
		t.Errorf("the verdict is %q, want %q: %q", r.Verdict, want, r.Reasons)
	}
}
