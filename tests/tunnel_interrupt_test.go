package tests

import (
	"syscall"
	"testing"
)

// Who interrupts the command before there is an answer gets his host back.
func TestTunnelUpThatIsInterruptedRestoresBesideAGuardian(t *testing.T) {
	s := newTunnelScene(t)
	s.configureTunnel(allowedSplit)
	if err := s.lab.Server.Script(s.ctx, "ip link set eth0 down\n"); err != nil {
		t.Fatal(err)
	}
	before := s.snapshot()
	guardian := s.watch()
	cmd := s.lab.Client.Command(s.ctx, s.exe, "tunnel", "up", s.conf)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s.state("connecting")
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); cmd.ProcessState.ExitCode() != 1 {
		t.Errorf("tunnel up: %v, want exit status 1", err)
	}
	s.state("open")
	// The same beside a guardian, which then owns the tables: with an answer.
	if err := s.lab.Server.Script(s.ctx, "ip link set eth0 up\nip route replace default via 203.0.113.1\n"); err != nil {
		t.Fatal(err)
	}
	s.up()
	s.state("sealed")
	s.must(0, "tunnel", "down", "own0")
	s.state("open")
	if err := guardian.ends(syscall.SIGTERM); err != nil {
		t.Errorf("the guardian ends with %v\n%s", err, guardian.log())
	}
	s.gone(before)
}
