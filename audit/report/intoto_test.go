package report_test

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestTheAttestationNamesWhatWasTestedAndHowItEnded(t *testing.T) {
	r := sampled(t)
	var got map[string]any
	if err := json.Unmarshal([]byte(written(t, r.Attestation)), &got); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"_type": "https://in-toto.io/Statement/v1", "predicateType": "https://in-toto.io/attestation/test-result/v0.1",
		"subject": []any{map[string]any{"name": "evidence.json", "digest": map[string]any{"sha256": r.EvidenceSHA256}}},
		"predicate": map[string]any{
			"result": "FAILED",
			"configuration": []any{
				map[string]any{"name": "client own 0.3.0"}, map[string]any{"name": "guard vpnguard 0.3.0 0123456789ab"},
				map[string]any{"name": "vpn/office site.conf", "digest": map[string]any{"sha256": r.Scope.Profile.SHA256}},
			},
			"passedTests": []any{`bind-to-device/tcp <&> "quoted"`, "harmless/an echo through the tunnel"},
			"warnedTests": []any{"selective-dos", "l2-chatter/lldp"},
			"failedTests": []any{"bind-to-device/udp", "weak-host-v4/synack", "client-crash/sigkill", "af-packet/plain"},
		},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}
