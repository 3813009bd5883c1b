package probe

import (
	"encoding/binary"
	"strings"
)

// query is a DNS question for the A record of name (RFC 1035, section 4).
func query(id uint16, name string) []byte {
	q := binary.BigEndian.AppendUint16(nil, id)
	q = append(q, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0) // recursion desired, one question
	for label := range strings.SplitSeq(name, ".") {
		q = append(append(q, byte(len(label))), label...)
	}
	return append(q, 0, 0, 1, 0, 1) // end of name, type A, class IN
}

// answerDNS answers any question with [DNSAnswer], nil to what is none.
func answerDNS(q []byte) []byte {
	const head = 12
	if len(q) < head || q[2]&0x80 != 0 || binary.BigEndian.Uint16(q[4:]) != 1 {
		return nil
	}
	end := head
	for end < len(q) && q[end] != 0 {
		end += 1 + int(q[end])
	}
	end += 1 + 4 // root label, type, class
	if end > len(q) {
		return nil
	}
	reply := append([]byte(nil), q[:end]...)
	reply[2], reply[3] = q[2]|0x80, 0x80          // answer, recursion available
	copy(reply[6:head], []byte{0, 1, 0, 0, 0, 0}) // one answer
	a := DNSAnswer.As4()
	// A pointer to the question's name, type A, class IN, 60 s, 4 bytes.
	reply = append(reply, 0xc0, head, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4)
	return append(reply, a[:]...)
}
