package probe

import (
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// GuestsHost is the client as its guest sees it.
var GuestsHost = netip.MustParseAddr("172.31.0.1")

// byDaemon has a daemon of the client ask, which must run: see lab/forward.
func byDaemon() []Probe {
	return []Probe{
		{Name: "dns-guests-host", To: netip.AddrPortFrom(GuestsHost, DNSPort).String(), send: func(s *shot) {
			s.ask(how{}, netip.AddrPortFrom(GuestsHost, DNSPort))
		}},
		{Name: "dns-unix-socket", To: "a daemon's unix socket", send: func(s *shot) { s.askSocket() }},
	}
}

// askSocket needs no network. The daemon's answer is the witness of what it came
// to: a DNS answer, or why there is none.
func (s *shot) askSocket() {
	own := filepath.Join(filepath.Dir(s.Socket), s.Nonce)
	conn, err := net.DialUnix("unixgram", &net.UnixAddr{Name: own, Net: "unixgram"}, &net.UnixAddr{Name: s.Socket, Net: "unixgram"})
	if err != nil {
		s.fail("open the daemon's socket", err)
		return
	}
	defer unix.Unlink(own)
	defer conn.Close()
	_, err = conn.Write(s.question())
	s.tried("question by "+filepath.Base(s.Socket), err)
	buf := make([]byte, 2048)
	if err := conn.SetReadDeadline(time.Now().Add(2 * answerWait)); err != nil {
		s.fail("wait for the daemon", err)
		return
	}
	n, err := conn.Read(buf)
	switch {
	case err != nil:
		s.fail("hear from the daemon", err)
	case n > 12 && buf[2]&0x80 != 0:
		s.receipt.Witness = fmt.Sprintf("the daemon has an answer of %d bytes", n)
	default:
		s.receipt.Witness = "the daemon says: " + string(buf[:n])
	}
}
