package report_test

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vpnguard/vpnguard/audit/report"
)

// tapReader prints what Perl's parser makes of a stream, as JSON.
const tapReader = `
use TAP::Parser; use JSON::PP;
my ($file) = @ARGV; open my $in, '<', $file or die $!; local $/; my $tap = <$in>;
my $p = TAP::Parser->new({ tap => $tap }); my (@tests, @unknown);
while (my $r = $p->next) {
	push @tests, [$r->is_ok ? 'ok' : 'not ok', $r->is_actual_ok ? 'ok' : 'not ok', $r->directive, $r->description] if $r->is_test;
	push @unknown, $r->raw if $r->is_unknown && $r->raw =~ /\S/;
}
print encode_json({ version => 0 + $p->version, errors => [$p->parse_errors], tests => \@tests, unknown => \@unknown, planned => $p->tests_planned });
`

type tapResult struct {
	Version int
	Errors  []string
	Tests   [][4]string
	Unknown []string
	Planned int
}

func readTAP(t *testing.T, text []byte) (got tapResult) {
	t.Helper()
	// Perl's parser knows versions up to 13, of which 14 is an extension, and
	// says so of any greater number.
	rest, found := bytes.CutPrefix(text, []byte("TAP version 14\n"))
	if !found {
		t.Fatalf("it begins with %.40q", text)
	}
	text = append([]byte("TAP version 13\n"), rest...)
	file := filepath.Join(t.TempDir(), "audit.tap")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("perl", "-e", tapReader, file).Output()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return got
}

func TestTAPIsReadByAnotherParser(t *testing.T) {
	var b bytes.Buffer
	r := sampled(t)
	if err := r.TAP(&b); err != nil {
		t.Fatal(err)
	}
	got := readTAP(t, b.Bytes())
	if got.Version != 13 || len(got.Errors) > 0 || len(got.Unknown) > 0 || got.Planned != len(r.Results) || len(got.Tests) != len(r.Results) {
		t.Errorf("it reads as %+v from\n%s", got, b.Bytes())
	}
	state := map[string]string{}
	for i, test := range got.Tests {
		state[r.Results[i].Name()] = test[1] + " " + test[2]
	}
	want := map[string]string{
		"bind-to-device/udp": "not ok ", `bind-to-device/tcp <&> "quoted"`: "ok ", "weak-host-v4/synack": "not ok ", "selective-dos": "ok ",
		"client-crash/sigkill": "not ok ", "af-packet/plain": "not ok ", "l2-chatter/lldp": "not ok TODO", "endpoint-kernel-transport": "ok SKIP",
		"ipv6-native": "ok SKIP", "boot-window": "ok SKIP", "traffic-correlation": "ok SKIP", "harmless/an echo through the tunnel": "ok ",
	}
	if d := cmp.Diff(want, state); d != "" {
		t.Error(d)
	}
}

// What a name or a reason says must not become a directive or a line.
func TestTAPCannotBeLedAstray(t *testing.T) {
	r := sampled(t)
	r.Results = r.Results[:1]
	r.Results[0].Variant = "x # SKIP not today\nok 2 - y"
	r.Results[0].Reasons = []string{"...\nok 3 - z # TODO", "\"quoted\": 'y'"}
	var b bytes.Buffer
	if err := r.TAP(&b); err != nil {
		t.Fatal(err)
	}
	got := readTAP(t, b.Bytes())
	if len(got.Tests) != 1 || got.Tests[0][1] != "not ok" || got.Tests[0][2] != "" || len(got.Errors) > 0 {
		t.Errorf("it reads as %+v from\n%s", got, b.Bytes())
	}
	b.Reset()
	if err := (report.Report{}).TAP(&b); err != nil {
		t.Fatal(err)
	}
	if got := readTAP(t, b.Bytes()); got.Planned != 0 {
		t.Errorf("an empty report reads as %+v", got)
	}
}
