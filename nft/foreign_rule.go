package nft

import (
	"encoding/binary"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// step is what one foreign rule does, without what it asks.
type step struct {
	conditional bool
	does        string // accept, drop, reject, jump, goto, return; empty: goes on
	to          string // of jump and goto
	established bool   // asks whether the packet belongs to a flow that is known
}

// unconditional are the expressions that let every packet on: those that only
// load something need another one to ask about it.
var unconditional = map[string]bool{
	"counter": true, "log": true, "immediate": true, "target": true, "reject": true, "notrack": true,
	"meta": true, "ct": true, "bitwise": true, "byteorder": true, "objref": true,
}

// read reads a rule's expressions.
func (s *step) read(list *netlink.AttributeDecoder) error {
	state := false // the last conntrack key that was loaded is the state
	for list.Next() {
		list.Nested(func(e *netlink.AttributeDecoder) error {
			name := ""
			for e.Next() {
				switch e.Type() {
				case unix.NFTA_EXPR_NAME:
					name = e.String()
					s.conditional = s.conditional || !unconditional[name]
					switch name {
					case "reject":
						s.does = "reject"
					case "lookup": // in a set of states, or a map of them to verdicts
						s.established = s.established || state
					}
				case unix.NFTA_EXPR_DATA:
					e.Nested(func(d *netlink.AttributeDecoder) error { return s.data(name, d, &state) })
				}
			}
			return nil
		})
	}
	return nil
}

func (s *step) data(name string, d *netlink.AttributeDecoder, state *bool) error {
	for d.Next() {
		switch {
		case name == "immediate" && d.Type() == unix.NFTA_IMMEDIATE_DATA:
			d.Nested(s.verdict)
		case name == "target" && d.Type() == unix.NFTA_TARGET_NAME: // of iptables-nft
			switch d.String() {
			case "REJECT":
				s.does = "reject"
			case "DROP":
				s.does = "drop"
			}
		// A named counter lets every packet on, a limit or quota does not, and a
		// map of them is asked first.
		case name == "objref" && d.Type() == unix.NFTA_OBJREF_IMM_TYPE:
			s.conditional = s.conditional || d.Uint32() != unix.NFT_OBJECT_COUNTER
		case name == "objref" && d.Type() == unix.NFTA_OBJREF_SET_SREG:
			s.conditional = true
		case name == "match" && d.Type() == unix.NFTA_MATCH_NAME:
			s.established = s.established || d.String() == "conntrack" || d.String() == "state"
		case name == "ct" && d.Type() == unix.NFTA_CT_KEY:
			*state = d.Uint32() == unix.NFT_CT_STATE
		case name == "bitwise" && d.Type() == unix.NFTA_BITWISE_MASK && *state:
			d.Nested(func(v *netlink.AttributeDecoder) error {
				for v.Next() {
					// IP_CT_ESTABLISHED is 0; its bit is 1 above (NF_CT_STATE_BIT).
					const bit = 1 << 1
					if b := v.Bytes(); v.Type() == unix.NFTA_DATA_VALUE && len(b) == 4 {
						s.established = s.established || binary.NativeEndian.Uint32(b)&bit != 0
					}
				}
				return nil
			})
		}
	}
	return nil
}

func (s *step) verdict(d *netlink.AttributeDecoder) error {
	for d.Next() {
		if d.Type() != unix.NFTA_DATA_VERDICT {
			continue
		}
		d.Nested(func(v *netlink.AttributeDecoder) error {
			for v.Next() {
				switch v.Type() {
				case unix.NFTA_VERDICT_CODE:
					const drop, accept = 0, 1 // NF_DROP, NF_ACCEPT
					s.does = map[int32]string{
						drop: "drop", accept: "accept",
						unix.NFT_JUMP: "jump", unix.NFT_GOTO: "goto", unix.NFT_RETURN: "return",
					}[int32(v.Uint32())]
				case unix.NFTA_VERDICT_CHAIN:
					s.to = v.String()
				}
			}
			return nil
		})
	}
	return nil
}

// walk goes through a chain and those that it jumps to, each once. The kernel
// refuses loops.
type walk struct {
	chains      map[string][]step
	ends        map[string]string
	drops       int
	established bool
}

// chain says how a chain ends for packets that no condition picks out: accept,
// drop, reject, or empty if they fall through.
func (w *walk) chain(name string) string {
	end, ok := w.ends[name]
	if !ok {
		end = w.rules(w.chains[name])
		w.ends[name] = end
	}
	return end
}

func (w *walk) rules(steps []step) string {
	for _, s := range steps {
		end := s.does
		refuses := end == "drop" || end == "reject"
		w.established = w.established || s.established && !refuses
		if end == "jump" || end == "goto" {
			end = w.chain(s.to)
			if s.does == "goto" && end == "" {
				end = "return"
			}
		}
		switch {
		case s.conditional:
			if refuses {
				w.drops++
			}
		case end == "return":
			return ""
		case end != "":
			return end
		}
	}
	return ""
}
