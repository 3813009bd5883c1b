package tests

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"

	"github.com/vpnguard/vpnguard/audit/gate"
	"github.com/vpnguard/vpnguard/audit/report"
	"github.com/vpnguard/vpnguard/audit/verdict"
	"github.com/vpnguard/vpnguard/lab/wire"
)

// lossyJob hands on what a witness says and adds that it lost a frame; briefJob
// ends after the first frame.
func lossyJob([]string) error { return relay(1, 1<<30) }
func briefJob([]string) error { return relay(0, 1) }

func relay(lost uint64, most int) error {
	cmd := exec.Command(os.Args[1], os.Args[2:]...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	w, err := pcapgo.NewNgWriter(os.Stdout, layers.LinkTypeEthernet)
	if err != nil {
		return err
	}
	r, err := pcapgo.NewNgReader(out, pcapgo.NgReaderOptions{StatisticsCallback: func(_ int, s pcapgo.NgInterfaceStatistics) {
		s.PacketsDropped += lost
		_ = w.WriteInterfaceStats(0, s)
		_ = w.Flush()
	}})
	if err != nil {
		return err
	}
	for range most {
		data, info, err := r.ReadPacketData()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = w.WritePacket(gopacket.CaptureInfo{Timestamp: info.Timestamp, CaptureLength: len(data), Length: info.Length}, data)
		}
		if err == nil {
			err = w.Flush()
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// audited runs the audit in the client and demands an exit status.
func (s *scene) audited(want int, args ...string) report.Report {
	s.Helper()
	stdout, stderr, code := s.vpnguard(append([]string{"audit", "host", "--format", "json", "--watch", "0s", "--limit", "90s"}, args...)...)
	r, err := report.Parse("report", []byte(stdout))
	if err != nil {
		s.Fatalf("audit host %q: exit %d: %v\n%s%s", args, code, err, stdout, stderr)
	}
	if code != want {
		s.Errorf("audit host %q: exit %d, want %d: %q\n%s", args, code, want, r.Outcome.Reasons, stderr)
		for _, one := range r.Results {
			if one.Verdict == verdict.Inconclusive || one.Verdict.Finding() {
				s.Logf("%s %s: %q", one.Verdict, one.Name(), one.Reasons)
			}
		}
	}
	return r
}

// comes is how many results of a report have a verdict, and the reasons of the first.
func comes(r report.Report, v verdict.Verdict) (n int, why string) {
	for _, one := range r.Results {
		if one.Verdict == v {
			if n++; n == 1 {
				why = one.Name() + ": " + strings.Join(one.Reasons, "; ")
			}
		}
	}
	return n, why
}

// interrupted ends an audit early by a signal. It passes nothing, and nothing of
// it is left.
func (s *scene) interrupted(witness string) {
	s.Helper()
	cmd := s.lab.Client.Command(s.ctx, s.exe, "audit", "host", "--format", "json", "--watch", "5s", "--peer", witness)
	var out strings.Builder
	cmd.Stdout = &out
	m := s.mark()
	if err := cmd.Start(); err != nil {
		s.Fatal(err)
	}
	canary := func(f wire.Frame) bool {
		return len(f.Data) >= 42 && f.Data[12] == 8 && f.Data[13] == 6 && f.Data[32] == 3
	}
	if _, err := s.lab.Capture().Until(s.ctx, m, func(all []wire.Frame) bool { return slices.ContainsFunc(all, canary) }); err != nil {
		s.Fatalf("wait for the audit to begin: %v", err)
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		s.Fatal(err)
	}
	_ = cmd.Wait()
	r, err := report.Parse("report", []byte(out.String()))
	if code := cmd.ProcessState.ExitCode(); code != 6 || err != nil || r.Interrupted == "" || r.Outcome.Status != gate.Inconclusive {
		s.Errorf("an interrupted audit: exit %d, %v, %+v", code, err, r.Outcome)
	}
	for left := s.auditing(); len(left) > 0; left = s.auditing() {
		if s.ctx.Err() != nil {
			s.Fatalf("left after an interrupted audit: %q", left)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// auditing are the processes of audits anywhere in the laboratory.
func (s *scene) auditing() (all []string) {
	s.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil || len(files) == 0 {
		s.Fatalf("list processes: %v", err)
	}
	for _, f := range files {
		if text, _ := os.ReadFile(f); strings.Contains(string(text), "\x00audit\x00") {
			all = append(all, strings.ReplaceAll(string(text), "\x00", " "))
		}
	}
	return all
}

// calledByItsWitness has the witness's words on standard input, as a gateway
// hands them to a host that may not call it.
func (s *scene) calledByItsWitness() {
	s.Helper()
	witness := s.lab.Gateway.Command(s.ctx, s.exe, "audit", "witness", "--interface", "lan0")
	audit := s.lab.Client.Command(s.ctx, s.exe, "audit", "host", "--watch", "0s", "--limit", "90s", "--peer", "-")
	in, out, err := os.Pipe()
	if err != nil {
		s.Fatal(err)
	}
	witness.Stdout, audit.Stdin = out, in
	if err := witness.Start(); err != nil {
		s.Fatal(err)
	}
	_ = out.Close()
	text, err := audit.CombinedOutput()
	_ = in.Close()
	if err != nil {
		s.Errorf("an audit that its witness called: %v\n%s", err, text)
	}
	_ = witness.Wait() // by SIGPIPE, once nobody reads
}

// A machine is audited as it is: sealed, it passes only before a second vantage
// point that was there throughout and lost nothing; without its rules, the same
// probes leak.
func TestAuditOfAHostPassesOnlyBeforeAWitness(t *testing.T) {
	s := newTunnelScene(t)
	s.configureTunnel("0.0.0.0/0, ::/0", "DNS = 8.8.8.8\nMTU = 1420")
	s.up()
	before := s.snapshot()
	witness := fmt.Sprintf("nsenter --net=/proc/%d/ns/net %s audit witness --interface lan0 --mac {mac}", s.lab.Gateway.PID(), s.exe)
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}

	alone := s.audited(6)
	if n, why := comes(alone, verdict.Inconclusive); n < 40 || !strings.Contains(why, "not disproved: 1 of 1 links") {
		t.Errorf("without a witness %d cases are inconclusive: %s", n, why)
	}
	if n, why := comes(alone, verdict.Pass); n != 0 {
		t.Errorf("without a witness %d cases pass: %s", n, why)
	}
	bundle := filepath.Join(s.lab.Dir, "evidence")
	seen := s.audited(0, "--peer", witness, "--output", bundle)
	s.must(0, "audit", "replay", bundle)
	if n, _ := comes(seen, verdict.Pass); n < 40 || seen.Coverage.Fired != seen.Coverage.Controls {
		t.Errorf("before a witness %d cases pass, %+v", n, seen.Coverage)
	}
	if slices.ContainsFunc(seen.Results, func(r report.Result) bool { return r.Name() == "endpoint-mark-spoof/review" }) {
		t.Error("the guard's own routing rules are among the findings")
	}
	s.calledByItsWitness()
	lost := s.audited(6, "--peer", fmt.Sprintf("eth0=env %s=lossy %s %s", envJob, exe, witness))
	if _, why := comes(lost, verdict.Inconclusive); !strings.Contains(why, "frames were lost") {
		t.Errorf("a witness that lost frames: %s", why)
	}
	died := s.audited(6, "--peer", fmt.Sprintf("env %s=brief %s %s", envJob, exe, witness))
	if n, why := comes(died, verdict.Inconclusive); n < 40 || !strings.Contains(why, "the capture ended: the peer's stream ended") {
		t.Errorf("a witness that died: %d cases: %s", n, why)
	}
	cmd := s.lab.Client.Command(s.ctx, "setpriv", "--bounding-set=-net_raw", "--inh-caps=-net_raw", s.exe, "audit", "host")
	if out, err := cmd.CombinedOutput(); cmd.ProcessState.ExitCode() != 4 || !strings.Contains(string(out), "open a packet socket") {
		t.Errorf("without CAP_NET_RAW: %v\n%s", err, out)
	}
	s.interrupted(witness)
	s.restored(before)

	s.script("nft delete table inet vpnguard\nnft delete table netdev vpnguard\n")
	leaky := s.audited(3)
	for _, id := range []string{"bind-to-device/udp", "bind-to-device/tcp-v6", "pktinfo-unicast-if/pktinfo", "endpoint-marker/udp", "af-packet/frame", "dns-lan-resolver/udp", "arp-destination-leak/request", "raw-fragments/udp"} {
		if !slices.ContainsFunc(leaky.Results, func(r report.Result) bool { return r.Name() == id && r.Verdict == verdict.Leak }) {
			t.Errorf("without its rules the host does not leak %s", id)
		}
	}
	if !slices.ContainsFunc(leaky.Results, func(r report.Result) bool {
		return r.Name() == "ruleset-flush/review" && r.Verdict == verdict.Exposed
	}) {
		t.Error("the review does not tell that the rules are gone")
	}
}
