package engine_test

import (
	"fmt"
	"log"
	"net/netip"
	"time"

	"github.com/vpnguard/vpnguard/tunnel/engine"
	"github.com/vpnguard/vpnguard/tunnel/key"
)

// Two engines in memory, without a clock, a socket or a device: the test of a
// program that embeds one can be as simple.
func ExampleEngine() {
	type datagram struct {
		to   netip.AddrPort
		data []byte
	}
	at := [2]netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:1"), netip.MustParseAddrPort("192.0.2.2:1")}
	var wire []datagram
	var ends [2]*engine.Engine
	for i := range ends {
		private, err := key.NewPrivate(nil)
		if err != nil {
			log.Fatal(err)
		}
		ends[i], err = engine.New(engine.Config{Private: private, Send: func(way engine.Way, data []byte) {
			wire = append(wire, datagram{way.To, append([]byte(nil), data...)})
		}})
		if err != nil {
			log.Fatal(err)
		}
	}
	const now = time.Hour
	for i, e := range ends {
		err := e.SetPeer(now, engine.PeerConfig{Public: ends[1-i].Public(), Endpoint: at[1-i], Allowed: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}})
		if err != nil {
			log.Fatal(err)
		}
	}
	packet := make([]byte, 24)
	packet[0], packet[3] = 0x45, 24 // IPv4, 24 bytes
	copy(packet[12:], []byte{10, 0, 0, 1, 10, 0, 0, 2})
	copy(packet[20:], "ping")
	if err := ends[0].Transmit(now, packet); err != nil {
		log.Fatal(err)
	}
	for len(wire) > 0 {
		d := wire[0]
		wire = wire[1:]
		i := 0
		if d.to == at[1] {
			i = 1
		}
		ends[i].Receive(now, engine.Way{To: at[1-i]}, d.data, len(d.data), func(p []byte) { fmt.Printf("end %d takes %s\n", i, p[20:]) })
	}
	// Output: end 1 takes ping
}
