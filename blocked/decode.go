package blocked

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// Attributes of <linux/netfilter/nfnetlink_log.h>.
const (
	attrPacketHeader = 1
	attrTimestamp    = 3
	attrInIndex      = 4
	attrOutIndex     = 5
	attrPayload      = 9
	attrPrefix       = 10
	attrUID          = 11
	attrSeq          = 12
	attrGID          = 14
)

// headerSize is that of struct nfgenmsg.
const headerSize = 4

// Prefix stands before the rule's name in the messages that are ours.
const Prefix = "vpnguard "

// message is an event as the kernel tells it: interfaces by number, and a
// sequence number.
type message struct {
	Event
	in     uint32
	seq    uint32
	hasSeq bool
}

var errForeign = errors.New("not about a rule of ours")

// decode reads one message behind its netlink header. It takes any bytes; what
// cannot be read is left zero or makes an error.
func decode(b []byte) (message, error) {
	var m message
	if len(b) < headerSize {
		return m, fmt.Errorf("message of %d bytes, want %d", len(b), headerSize)
	}
	a, err := netlink.NewAttributeDecoder(b[headerSize:])
	if err != nil {
		return m, fmt.Errorf("attributes: %w", err)
	}
	a.ByteOrder = binary.BigEndian
	var hook uint8
	var payload []byte
	prefix := ""
	for a.Next() {
		switch a.Type() {
		case attrPacketHeader:
			if v := a.Bytes(); len(v) >= 3 {
				m.EtherType, hook = binary.BigEndian.Uint16(v), v[2]
			}
		case attrTimestamp:
			m.Time = timestamp(a.Bytes())
		case attrInIndex:
			m.in = a.Uint32()
		case attrOutIndex:
			m.link = a.Uint32()
		case attrPayload:
			payload = a.Bytes()
		case attrPrefix:
			prefix = a.String()
		case attrUID:
			m.UID = number(a)
		case attrGID:
			m.GID = number(a)
		case attrSeq:
			m.seq, m.hasSeq = a.Uint32(), true
		}
	}
	if err := a.Err(); err != nil {
		return m, fmt.Errorf("attributes: %w", err)
	}
	rule, ours := strings.CutPrefix(prefix, Prefix)
	if !ours {
		return m, errForeign
	}
	m.Rule, m.Hook = rule, hookName(b[0], hook)
	m.packet(payload, b[0] == unix.NFPROTO_NETDEV)
	return m, nil
}

func number(a *netlink.AttributeDecoder) *uint32 {
	n := a.Uint32()
	return &n
}

// timestamp reads seconds and microseconds, 64 bits each; the zero time if
// that is none.
func timestamp(b []byte) time.Time {
	if len(b) < 16 {
		return time.Time{}
	}
	sec, usec := binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:])
	if sec == 0 || sec > 1<<40 || usec >= 1e6 {
		return time.Time{}
	}
	return time.Unix(int64(sec), int64(usec)*1000)
}

// hookName: a netdev chain's hooks have numbers of their own (enum nf_dev_hooks).
func hookName(family, hook uint8) string {
	names := []string{"prerouting", "input", "forward", "output", "postrouting"}
	if family == unix.NFPROTO_NETDEV {
		names = []string{"ingress", "egress"}
	}
	if int(hook) >= len(names) {
		return ""
	}
	return names[hook]
}
