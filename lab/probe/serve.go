package probe

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// Ports of the responders. Echo answers with the peer it saw, a line feed and
// what it got; bulk takes "get N" or "put N" and a line feed, sends N bytes of
// [Pattern] or takes N bytes and answers with their SHA-256.
const (
	EchoPort = 7
	DNSPort  = 53
	BulkPort = 9
)

// DNSAnswer is the address in every DNS answer.
var DNSAnswer = netip.MustParseAddr("203.0.113.80")

// idle ends a responder's connection that says nothing.
const idle = 30 * time.Second

// ServeAll starts all responders on addr, which run until the process ends.
func ServeAll(addr netip.Addr) error {
	for _, port := range []uint16{EchoPort, 80, 443} {
		if err := serveUDP(netip.AddrPortFrom(addr, port), echoPacket); err != nil {
			return err
		}
		if err := serveTCP(netip.AddrPortFrom(addr, port), echoStream); err != nil {
			return err
		}
	}
	if err := serveTCP(netip.AddrPortFrom(addr, BulkPort), bulkStream); err != nil {
		return err
	}
	return ServeDNS(addr)
}

// ServeDNS answers DNS by UDP and TCP on addr.
func ServeDNS(addr netip.Addr) error {
	at := netip.AddrPortFrom(addr, DNSPort)
	if err := serveUDP(at, func(q []byte, _ netip.AddrPort) []byte { return answerDNS(q) }); err != nil {
		return err
	}
	return serveTCP(at, dnsStream)
}

func serveUDP(at netip.AddrPort, answer func(packet []byte, from netip.AddrPort) []byte) error {
	conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(at))
	if err != nil {
		return fmt.Errorf("answer on %q by udp: %w", at, err)
	}
	go func() {
		buf := make([]byte, 65536)
		for {
			n, from, err := conn.ReadFromUDPAddrPort(buf)
			if err != nil {
				continue // an ICMP error of an earlier answer
			}
			if reply := answer(buf[:n], from); reply != nil {
				_, _ = conn.WriteToUDPAddrPort(reply, from)
			}
		}
	}()
	return nil
}

func serveTCP(at netip.AddrPort, talk func(net.Conn)) error {
	var lc net.ListenConfig
	lc.SetMultipathTCP(true) // so that the subflow probe has a peer
	l, err := lc.Listen(context.Background(), "tcp", at.String())
	if err != nil {
		return fmt.Errorf("answer on %q by tcp: %w", at, err)
	}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				talk(conn)
			}()
		}
	}()
	return nil
}

func echoPacket(packet []byte, from netip.AddrPort) []byte {
	return append([]byte(from.String()+"\n"), packet...)
}

func echoStream(conn net.Conn) {
	if _, err := fmt.Fprintf(conn, "%s\n", conn.RemoteAddr()); err != nil {
		return
	}
	_, _ = io.Copy(conn, conn)
}

func bulkStream(conn net.Conn) {
	_ = conn.SetDeadline(time.Now().Add(2 * idle))
	r := bufio.NewReader(conn)
	line, err := r.ReadString('\n')
	if err != nil {
		return
	}
	verb, count, _ := strings.Cut(strings.TrimSpace(line), " ")
	n, err := strconv.ParseInt(count, 10, 64)
	if err != nil || n < 0 || n > 1<<30 {
		return
	}
	switch verb {
	case "get":
		_, _ = io.CopyN(conn, Pattern(), n)
	case "put":
		sum := sha256.New()
		if _, err := io.CopyN(sum, r, n); err == nil {
			_, _ = fmt.Fprintf(conn, "%x\n", sum.Sum(nil))
		}
	}
}

func dnsStream(conn net.Conn) {
	_ = conn.SetDeadline(time.Now().Add(idle))
	for {
		var size [2]byte
		if _, err := io.ReadFull(conn, size[:]); err != nil {
			return
		}
		query := make([]byte, binary.BigEndian.Uint16(size[:]))
		if _, err := io.ReadFull(conn, query); err != nil {
			return
		}
		reply := answerDNS(query)
		if reply == nil {
			return
		}
		if _, err := conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(reply))), reply...)); err != nil {
			return
		}
	}
}
