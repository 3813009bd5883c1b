package tests

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// execIsTheProgram demands that a program gets what its caller's session has, and
// the caller its exit status and signals.
func (s *tunnelScene) execIsTheProgram() {
	s.Helper()
	for _, c := range []struct {
		script string
		code   int
	}{{"exit 7", 7}, {"exit 0", 0}, {"nosuchprogram", 127}} {
		if out, code := s.sh("red", s.user, c.script); code != c.code {
			s.Errorf("%q: exit %d: %s", c.script, code, out)
		}
	}
	for args, want := range map[string]int{"nosuchprogram": 127, "/etc": 126, "": 2} {
		if _, said, code := s.vpnguard(append([]string{"exec", "--"}, strings.Fields(args)...)...); code != want {
			s.Errorf("exec %q: exit %d, want %d: %s", args, code, want, said)
		}
	}
	if _, said, code := s.vpnguard("exec", "--namespace", "none", "--", "true"); code != 2 || !strings.Contains(said, `no namespace "none" is up`) {
		s.Errorf("exec in no namespace: exit %d: %s", code, said)
	}
	s.execGetsTheSession()
	s.execInATerminal()

	// The socket of a display or of a sound server, which is a daemon outside.
	const display = "/run/user/1000/wayland-0"
	s.job(s.lab.Client, "resolvers", display)
	if took := s.job(s.inside("red", s.user), "look-up", "hello", display); took != "1" {
		s.Errorf("a display's socket is not reached inside: %s", took)
	}
}

// execGetsTheSession calls through a program that looks like sudo: it has the
// caller's environment, and started vpnguard with little of it.
func (s *tunnelScene) execGetsTheSession() {
	s.Helper()
	sudo := filepath.Join(s.lab.Dir, "sudo")
	timeout, err := exec.LookPath("timeout")
	if err != nil {
		s.Fatal(err)
	}
	text, err := os.ReadFile(timeout)
	if err == nil {
		err = os.WriteFile(sudo, text, 0o755)
	}
	if err != nil {
		s.Fatal(err)
	}
	const tell = `echo "$(id -u) $(id -g) $(umask) $(pwd) $WORDS $WAYLAND_DISPLAY"; grep SigIgn /proc/self/status`
	call := fmt.Sprintf(`umask 027; cd /tmp; export WAYLAND_DISPLAY=wayland-0 WORDS='a "b"  c'
exec setpriv --ruid %d timeout 60 %s 60 env -i SUDO_UID=%[1]d SUDO_GID=%[1]d PATH=/usr/bin:/bin "$0" exec --namespace red -- sh -c '%[3]s'`, s.user, sudo, tell)
	out, err := s.lab.Client.Run(s.ctx, "sh", "-c", call, s.exe)
	ignored := s.ignored()
	want := fmt.Sprintf("%d %[1]d 0027 /tmp a \"b\"  c wayland-0\nSigIgn:\t%016x\n", s.user, ignored)
	if err != nil || out != want {
		s.Errorf("through sudo: %q, %v, want %q", out, err, want)
	}
	// Without it: who somebody is, is changed; what root's was is not told.
	out, err = s.lab.Client.Run(s.ctx, "env", "HOME=/root", "USER=root", "WORDS=x", "nohup", s.exe, "exec", "--namespace", "red", "--user", fmt.Sprint(s.user), "--",
		"sh", "-c", `echo "$WORDS $HOME" | grep -c "x /root"; grep SigIgn /proc/self/status`)
	want = fmt.Sprintf("0\nSigIgn:\t%016x\n", ignored|1)
	if s.user != 0 && (err == nil || !strings.HasSuffix(out, want)) && !strings.HasSuffix(out, want) {
		s.Errorf("as a named user: %q, %v, want %q", out, err, want)
	}
}

// ignored are the signals that a program here ignores from its start, whoever
// started the tests.
func (s *tunnelScene) ignored() (mask uint64) {
	s.Helper()
	out, err := s.lab.Client.Run(s.ctx, "grep", "SigIgn", "/proc/self/status")
	if err == nil {
		_, err = fmt.Sscanf(out, "SigIgn:\t%x", &mask)
	}
	if err != nil {
		s.Fatal(err)
	}
	return mask
}

// execInATerminal runs a program as the foreground job of a terminal, and stops
// it, continues it and interrupts it by its keys.
func (s *tunnelScene) execInATerminal() {
	s.Helper()
	master, terminal := s.terminal()
	defer master.Close()
	cmd := s.lab.Client.Command(s.ctx, s.exe, "exec", "--namespace", "red", "--user", fmt.Sprint(s.user), "--", "sh", "-c", `test -t 0 && echo "pid $$"; exec sleep 1000`)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = terminal, terminal, terminal
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		s.Fatal(err)
	}
	_ = terminal.Close()
	said := ""
	s.until("the program runs in the terminal", func() bool {
		buf := make([]byte, 256)
		n, _ := master.Read(buf)
		said += string(buf[:n])
		return strings.Contains(said, fmt.Sprintf("pid %d\r\n", cmd.Process.Pid))
	})
	if _, err := master.Write([]byte{3}); err != nil { // ^C
		s.Fatal(err)
	}
	_ = cmd.Wait()
	if status, _ := cmd.ProcessState.Sys().(syscall.WaitStatus); !status.Signaled() || status.Signal() != syscall.SIGINT {
		s.Errorf("interrupted in a terminal: %v", cmd.ProcessState)
	}
	// A signal by number reaches the program, for it is the process that was started.
	cmd = s.inside("red", s.user).Command(s.ctx, "sh", "-c", "kill -STOP $$; exit 5")
	if err := cmd.Start(); err != nil {
		s.Fatal(err)
	}
	s.until("the program is stopped", func() bool {
		stat, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", cmd.Process.Pid))
		return strings.Contains(string(stat), ") T ")
	})
	if err := cmd.Process.Signal(syscall.SIGCONT); err != nil {
		s.Fatal(err)
	}
	if _ = cmd.Wait(); cmd.ProcessState.ExitCode() != 5 {
		s.Errorf("after it was continued: %v", cmd.ProcessState)
	}
}
