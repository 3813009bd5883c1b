package lower

import (
	"fmt"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"github.com/vpnguard/vpnguard/rules"
)

// Registers: values are compared in reg; a concatenation goes on in the
// 32-bit registers behind it.
const (
	reg   = unix.NFT_REG_1
	reg32 = unix.NFT_REG32_00
)

// The flags of a TCP header, and where they are (RFC 9293 section 3.1).
const (
	tcpFlagsOffset = 13
	tcpSYN         = 0x02
	tcpACK         = 0x10
)

// writer collects one rule's expressions. It remembers which family and
// protocol the rule is bound to already, so that it asks once.
type writer struct {
	table  *nftables.Table
	named  map[string]*nftables.Set
	ids    *uint32
	exprs  []expr.Any
	sets   []Set
	family uint16 // EtherType the rule is bound to; 0: none
	proto  uint8  // transport protocol the rule is bound to; 0: none
}

func (w *writer) put(e ...expr.Any) { w.exprs = append(w.exprs, e...) }

func (w *writer) verdict(v rules.Verdict) {
	switch v {
	case rules.Accept:
		w.put(&expr.Verdict{Kind: expr.VerdictAccept})
	case rules.RejectTCP:
		w.put(&expr.Reject{Type: unix.NFT_REJECT_TCP_RST})
	case rules.RejectOther:
		w.put(&expr.Reject{Type: unix.NFT_REJECT_ICMPX_UNREACH, Code: unix.NFT_REJECT_ICMPX_ADMIN_PROHIBITED})
	case rules.Drop:
		w.put(&expr.Verdict{Kind: expr.VerdictDrop})
	}
}

// equal compares the register with one value.
func (w *writer) equal(data []byte) { w.put(&expr.Cmp{Op: expr.CmpOpEq, Register: reg, Data: data}) }

func (w *writer) differs(data []byte) {
	w.put(&expr.Cmp{Op: expr.CmpOpNeq, Register: reg, Data: data})
}

func (w *writer) meta(key expr.MetaKey) { w.put(&expr.Meta{Key: key, Register: reg}) }

func (w *writer) network(offset, length uint32) {
	w.put(&expr.Payload{DestRegister: reg, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: length})
}

func (w *writer) transport(offset, length uint32) {
	w.put(&expr.Payload{DestRegister: reg, Base: expr.PayloadBaseTransportHeader, Offset: offset, Len: length})
}

func (w *writer) masked(m []byte) {
	w.put(&expr.Bitwise{SourceRegister: reg, DestRegister: reg, Len: uint32(len(m)), Mask: m, Xor: make([]byte, len(m))})
}

func (w *writer) nonZero(length int) { w.differs(make([]byte, length)) }

// among compares the register with one value or looks it up in a set.
func (w *writer) among(kind nftables.SetDatatype, elements []nftables.SetElement) {
	if len(elements) == 1 {
		w.equal(elements[0].Key)
		return
	}
	w.lookup(w.anonymous(kind, false, elements).Set)
}

func (w *writer) lookup(s *nftables.Set) {
	w.put(&expr.Lookup{SourceRegister: reg, SetName: s.Name, SetID: s.ID})
}

func (w *writer) lookupNamed(name string) error {
	s, ok := w.named[name]
	if !ok {
		return fmt.Errorf("no set %q in the table", name)
	}
	w.lookup(s)
	return nil
}

// bindFamily makes the rule speak of IPv4 or IPv6 packets only.
func (w *writer) bindFamily(ipv6 bool) {
	ether, nf := uint16(unix.ETH_P_IP), byte(unix.NFPROTO_IPV4)
	if ipv6 {
		ether, nf = unix.ETH_P_IPV6, unix.NFPROTO_IPV6
	}
	if w.family == ether {
		return
	}
	w.family = ether
	if w.table.Family == nftables.TableFamilyNetdev {
		w.meta(expr.MetaKeyPROTOCOL)
		w.equal(be16(ether))
		return
	}
	w.meta(expr.MetaKeyNFPROTO)
	w.equal([]byte{nf})
}

func (w *writer) bindProto(p uint8) {
	if w.proto != p {
		w.proto = p
		w.meta(expr.MetaKeyL4PROTO)
		w.equal([]byte{p})
	}
}

func (w *writer) match(m rules.Match) error {
	switch m := m.(type) {
	case rules.Iface:
		w.iface(m)
	case rules.EtherType:
		w.family = m.Value
		w.meta(expr.MetaKeyPROTOCOL)
		w.equal(be16(m.Value))
	case rules.L4:
		if len(m.Protos) == 1 {
			w.bindProto(m.Protos[0])
			return nil
		}
		w.meta(expr.MetaKeyL4PROTO)
		w.among(nftables.TypeInetProto, values(m.Protos, func(p uint8) []byte { return []byte{p} }))
	case rules.Addr:
		w.addr(m)
	case rules.AddrSet:
		w.bindFamily(m.IPv6)
		w.network(addrAt(m.Side, m.IPv6))
		return w.lookupNamed(m.Set)
	case rules.Tuple:
		return w.tuple(m)
	case rules.Port:
		w.ports(m)
	case rules.SKUID:
		w.meta(expr.MetaKeySKUID)
		w.equal(binaryutil.NativeEndian.PutUint32(m.UID))
	case rules.FwMark:
		w.meta(expr.MetaKeyMARK)
		if m.Mask != ^uint32(0) {
			w.masked(binaryutil.NativeEndian.PutUint32(m.Mask))
		}
		w.equal(binaryutil.NativeEndian.PutUint32(m.Value))
	case rules.SocketCgroup:
		w.put(&expr.Socket{Key: expr.SocketKeyCgroupv2, Level: m.Cgroup.Level, Register: reg})
		w.equal(binaryutil.NativeEndian.PutUint64(m.Cgroup.ID))
	case rules.CT:
		w.ct(m)
	case rules.FIB:
		w.fib(m.Question)
	case rules.ICMP:
		w.icmp(m)
	case rules.NDForm:
		w.ndForm(m)
	case rules.DHCPForm:
		w.dhcpForm(m)
	case rules.ARPForm:
		w.arpForm()
	case rules.ARPTarget:
		w.network(24, 4)
		w.lookup(w.anonymous(nftables.TypeIPAddr, true, ranges(m.Prefixes, prefixBounds)).Set)
	case rules.ARPSender:
		w.network(14, 4)
		w.among(nftables.TypeIPAddr, values(m.Addrs, addrBytes))
	case rules.TCPMidstream:
		w.transport(tcpFlagsOffset, 1)
		w.masked([]byte{tcpSYN | tcpACK})
		w.differs([]byte{tcpSYN})
	case rules.TrailingFragment:
		w.trailingFragment(m.IPv6)
	default:
		return fmt.Errorf("no expression for a match of type %T", m)
	}
	return nil
}
