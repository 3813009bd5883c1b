package lower

import (
	"net/netip"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"github.com/vpnguard/vpnguard/rules"
)

// ifNameSize is IFNAMSIZ: a name is compared with its padding, or it would
// match every longer name as well.
const ifNameSize = 16

func (w *writer) iface(m rules.Iface) {
	key := expr.MetaKeyOIFNAME
	if m.Dir == rules.Incoming {
		key = expr.MetaKeyIIFNAME
	}
	w.meta(key)
	padded := make([]byte, ifNameSize)
	copy(padded, m.Name)
	if m.Not {
		w.differs(padded)
		return
	}
	w.equal(padded)
}

func addrBytes(a netip.Addr) []byte { return a.AsSlice() }

// addrAt is offset and length of an address in the network header.
func addrAt(side rules.Side, ipv6 bool) (offset, length uint32) {
	switch {
	case ipv6 && side == rules.Src:
		return 8, 16
	case ipv6:
		return 24, 16
	case side == rules.Src:
		return 12, 4
	}
	return 16, 4
}

func (w *writer) addr(m rules.Addr) {
	ipv6 := m.Prefixes[0].Addr().Is6()
	w.bindFamily(ipv6)
	w.network(addrAt(m.Side, ipv6))
	bits, uniform := m.Uniform()
	if !uniform {
		w.lookup(w.anonymous(addrType(ipv6), true, ranges(m.Prefixes, prefixBounds)).Set)
		return
	}
	if bits < m.Prefixes[0].Addr().BitLen() {
		w.masked(mask(m.Prefixes[0]))
	}
	w.among(addrType(ipv6), values(m.Prefixes, func(p netip.Prefix) []byte { return p.Masked().Addr().AsSlice() }))
}

func (w *writer) tuple(m rules.Tuple) error {
	w.bindFamily(m.IPv6)
	w.network(addrAt(m.Side, m.IPv6))
	behind := uint32(reg32 + 1)
	if m.IPv6 {
		behind = reg32 + 4
	}
	w.put(&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: behind})
	w.put(&expr.Payload{DestRegister: behind + 1, Base: expr.PayloadBaseTransportHeader, Offset: portAt(m.Side), Len: 2})
	return w.lookupNamed(m.Set)
}

func portAt(side rules.Side) uint32 {
	if side == rules.Src {
		return 0
	}
	return 2
}

func (w *writer) ports(m rules.Port) {
	w.transport(portAt(m.Side), 2)
	single := true
	for _, r := range m.Ranges {
		single = single && r.First == r.Last
	}
	switch {
	case single:
		w.among(nftables.TypeInetService, values(m.Ranges, func(r rules.PortRange) []byte { return be16(r.First) }))
	case len(m.Ranges) == 1:
		w.put(&expr.Cmp{Op: expr.CmpOpGte, Register: reg, Data: be16(m.Ranges[0].First)})
		w.put(&expr.Cmp{Op: expr.CmpOpLte, Register: reg, Data: be16(m.Ranges[0].Last)})
	default:
		w.lookup(w.anonymous(nftables.TypeInetService, true, ranges(m.Ranges, portBounds)).Set)
	}
}

// ctBits are the kernel's state bits (NF_CT_STATE_BIT).
var ctBits = map[rules.CTState]uint32{
	rules.CTInvalid:     expr.CtStateBitINVALID,
	rules.CTEstablished: expr.CtStateBitESTABLISHED,
	rules.CTRelated:     expr.CtStateBitRELATED,
	rules.CTNew:         expr.CtStateBitNEW,
	rules.CTNone:        expr.CtStateBitUNTRACKED,
}

func (w *writer) ct(m rules.CT) {
	var bits uint32
	for _, s := range m.States {
		bits |= ctBits[s]
	}
	w.put(&expr.Ct{Key: expr.CtKeySTATE, Register: reg})
	w.masked(binaryutil.NativeEndian.PutUint32(bits))
	w.nonZero(4)
	if m.Reply {
		w.put(&expr.Ct{Key: expr.CtKeyDIRECTION, Register: reg})
		w.equal([]byte{1}) // IP_CT_DIR_REPLY
	}
}

func (w *writer) fib(q rules.Question) {
	kind := func(t uint32) []byte { return binaryutil.NativeEndian.PutUint32(t) }
	switch q {
	case rules.SourceUnreachableByIface:
		w.put(&expr.Fib{Register: reg, FlagSADDR: true, FlagIIF: true, FlagPRESENT: true, ResultOIF: true})
		w.equal(make([]byte, 4))
	case rules.DestinationLocal:
		w.put(&expr.Fib{Register: reg, FlagDADDR: true, ResultADDRTYPE: true})
		w.equal(kind(unix.RTN_LOCAL))
	case rules.DestinationNotOnIface:
		w.put(&expr.Fib{Register: reg, FlagDADDR: true, FlagIIF: true, ResultADDRTYPE: true})
		w.differs(kind(unix.RTN_LOCAL))
	case rules.DestinationOnIface:
		w.put(&expr.Fib{Register: reg, FlagDADDR: true, FlagIIF: true, ResultADDRTYPE: true})
		w.equal(kind(unix.RTN_LOCAL))
	case rules.SourceOnOutIface:
		w.put(&expr.Fib{Register: reg, FlagSADDR: true, FlagOIF: true, ResultADDRTYPE: true})
		w.equal(kind(unix.RTN_LOCAL))
	}
}

func (w *writer) icmp(m rules.ICMP) {
	proto, kind := rules.ProtoICMP, nftables.TypeICMPType
	if m.IPv6 {
		proto, kind = rules.ProtoICMPv6, nftables.TypeICMP6Type
	}
	w.bindProto(proto)
	w.transport(0, 1)
	w.among(kind, values(m.Types, func(t uint8) []byte { return []byte{t} }))
	if !m.AnyCode {
		w.transport(1, 1)
		w.equal([]byte{0})
	}
}

func (w *writer) ndForm(m rules.NDForm) {
	w.bindFamily(true)
	w.network(6, 1)
	w.equal([]byte{rules.ProtoICMPv6})
	w.network(7, 1)
	w.equal([]byte{255})
	if !m.AnyLength {
		w.network(4, 2)
		w.put(&expr.Cmp{Op: expr.CmpOpLte, Register: reg, Data: be16(rules.NDMaxLength)})
	}
	if m.Target.IsValid() {
		w.transport(rules.NDTargetOffset, 16)
		if !m.Target.IsSingleIP() {
			w.masked(mask(m.Target))
		}
		w.equal(m.Target.Masked().Addr().AsSlice())
	}
}

func (w *writer) dhcpForm(m rules.DHCPForm) {
	w.bindFamily(false)
	w.network(0, 1)
	w.masked([]byte{0x0f})
	w.equal([]byte{5})
	w.network(6, 2)
	w.masked([]byte{0x3f, 0xff})
	w.equal([]byte{0, 0})
	w.transport(rules.DHCPOpOffset, 1)
	w.equal([]byte{m.Op})
	w.transport(rules.DHCPCookieOffset, 4)
	w.equal(binaryutil.BigEndian.PutUint32(rules.DHCPCookie))
}

// arpForm: Ethernet, IPv4, six and four bytes of address, request or reply (RFC 826).
func (w *writer) arpForm() {
	for _, f := range []struct {
		offset uint32
		value  []byte
	}{{0, be16(1)}, {2, be16(unix.ETH_P_IP)}, {4, []byte{6}}, {5, []byte{4}}} {
		w.network(f.offset, uint32(len(f.value)))
		w.equal(f.value)
	}
	w.network(6, 2)
	w.among(nftables.TypeARPOp, values([]uint16{1, 2}, be16))
	w.meta(expr.MetaKeyLEN)
	w.put(&expr.Byteorder{SourceRegister: reg, DestRegister: reg, Op: expr.ByteorderHton, Len: 4, Size: 4})
	w.put(&expr.Cmp{Op: expr.CmpOpLte, Register: reg, Data: binaryutil.BigEndian.PutUint32(rules.ARPMaxLength)})
}

func (w *writer) trailingFragment(ipv6 bool) {
	if ipv6 {
		w.put(&expr.Exthdr{DestRegister: reg, Type: unix.IPPROTO_FRAGMENT, Offset: 2, Len: 2, Op: expr.ExthdrOpIpv6})
		w.masked([]byte{0xff, 0xf8})
	} else {
		w.bindFamily(false)
		w.network(6, 2)
		w.masked([]byte{0x1f, 0xff})
	}
	w.nonZero(2)
}
