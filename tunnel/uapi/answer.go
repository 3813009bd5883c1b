package uapi

import (
	"encoding/hex"
	"strconv"
	"time"

	"github.com/vpnguard/vpnguard/tunnel"
	"github.com/vpnguard/vpnguard/tunnel/engine"
	"github.com/vpnguard/vpnguard/tunnel/key"
)

// appendGet writes all that a get tells.
func appendGet(b []byte, x tunnel.Export) []byte {
	b = appendKey(b, "private_key", x.Private.Bytes())
	b = appendNumber(b, "listen_port", uint64(x.ListenPort))
	if x.FwMark != 0 {
		b = appendNumber(b, "fwmark", uint64(x.FwMark))
	}
	for _, p := range x.Peers {
		b = appendKey(b, "public_key", p.Public)
		if psk, ok := x.Preshared[p.Public]; ok {
			b = appendKey(b, "preshared_key", psk.Bytes())
		}
		b = appendNumber(b, "protocol_version", 1)
		if p.Endpoint.IsValid() {
			b = append(append(b, "endpoint="...), p.Endpoint.String()...)
			b = append(b, '\n')
		}
		var sec, nsec uint64
		if !p.LastHandshake.IsZero() {
			sec, nsec = uint64(p.LastHandshake.Unix()), uint64(p.LastHandshake.Nanosecond())
		}
		b = appendNumber(b, "last_handshake_time_sec", sec)
		b = appendNumber(b, "last_handshake_time_nsec", nsec)
		b = appendNumber(b, "tx_bytes", p.TxBytes)
		b = appendNumber(b, "rx_bytes", p.RxBytes)
		b = appendNumber(b, "persistent_keepalive_interval", uint64(p.Keepalive/time.Second))
		for _, a := range p.Allowed {
			b = append(append(b, "allowed_ip="...), a.String()...)
			b = append(b, '\n')
		}
	}
	return b
}

// appendErrno ends an answer.
func appendErrno(b []byte, n int) []byte {
	return append(strconv.AppendInt(append(b, "errno="...), int64(n), 10), '\n', '\n')
}

// appendSet writes the request that asks for a change.
func appendSet(b []byte, c tunnel.Change) []byte {
	b = append(b, "set=1\n"...)
	if c.Private != nil {
		b = appendKey(b, "private_key", c.Private.Bytes())
	}
	if c.ListenPort != nil {
		b = appendNumber(b, "listen_port", uint64(*c.ListenPort))
	}
	if c.FwMark != nil {
		b = appendNumber(b, "fwmark", uint64(*c.FwMark))
	}
	b = appendTrue(b, "replace_peers", c.ReplacePeers)
	for _, p := range c.Peers {
		b = appendPeer(b, p)
	}
	return append(b, '\n')
}

func appendPeer(b []byte, p engine.PeerChange) []byte {
	b = appendKey(b, "public_key", p.Public)
	b = appendTrue(b, "remove", p.Remove)
	b = appendTrue(b, "update_only", p.UpdateOnly)
	if p.Preshared != nil {
		b = appendKey(b, "preshared_key", p.Preshared.Bytes())
	}
	if p.Endpoint != nil {
		b = append(append(b, "endpoint="...), p.Endpoint.String()...)
		b = append(b, '\n')
	}
	if p.Keepalive != nil {
		b = appendNumber(b, "persistent_keepalive_interval", uint64(*p.Keepalive/time.Second))
	}
	b = appendTrue(b, "replace_allowed_ips", p.ReplaceAllowed)
	for _, a := range p.Allowed {
		b = append(b, "allowed_ip="...)
		if a.Remove {
			b = append(b, '-')
		}
		b = append(append(b, a.Prefix.String()...), '\n')
	}
	return b
}

func appendKey(b []byte, name string, k [key.Size]byte) []byte {
	b = append(append(b, name...), '=')
	return append(hex.AppendEncode(b, k[:]), '\n')
}

func appendNumber(b []byte, name string, n uint64) []byte {
	b = append(append(b, name...), '=')
	return append(strconv.AppendUint(b, n, 10), '\n')
}

func appendTrue(b []byte, name string, flag bool) []byte {
	if !flag {
		return b
	}
	return append(append(b, name...), "=true\n"...)
}
