package guardian

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vpnguard/vpnguard/endpoint"
	"github.com/vpnguard/vpnguard/guard"
)

func frame(body string) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), body...)
}

func TestFramesComeBackAsTheyWereWritten(t *testing.T) {
	end, err := endpoint.Parse("[2001:db8::1]:443/tcp")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []Call{
		{Version: Version, NetNS: 7, Verb: VerbInfo},
		{Version: Version, Verb: VerbUpdate, PID: 12, Endpoints: []endpoint.Endpoint{end}},
		{Version: Version, Verb: VerbStop, Selection: &guard.Selection{Dev: "tun0", PID: 4}},
		{Version: Version, Verb: VerbUp, Up: &guard.Request{Dev: "tun0", Endpoints: []endpoint.Endpoint{end}, UIDs: []uint32{0}}},
	} {
		var wire bytes.Buffer
		if err := WriteFrame(&wire, c); err != nil {
			t.Fatal(err)
		}
		var got Call
		if err := ReadFrame(&wire, &got); err != nil {
			t.Fatalf("%s: %v", c.Verb, err)
		}
		if diff := cmp.Diff(c, got, cmp.Comparer(func(a, b endpoint.Endpoint) bool { return a == b })); diff != "" {
			t.Errorf("%s: written (-), read (+):\n%s", c.Verb, diff)
		}
		if err := got.check(); err != nil {
			t.Errorf("%s: %v", c.Verb, err)
		}
	}
}

func TestFramesThatAreNoneAreRefused(t *testing.T) {
	for name, data := range map[string][]byte{
		"empty":              nil,
		"half a length":      {0, 0},
		"too long":           {0xff, 0xff, 0xff, 0xff, '{', '}'},
		"one beyond":         binary.BigEndian.AppendUint32(nil, maxFrame+1),
		"shorter than said":  {0, 0, 0, 9, '{', '}'},
		"no JSON":            frame("GET /"),
		"an unknown field":   frame(`{"verb":"stop","root":true}`),
		"a value behind":     frame(`{} {}`),
		"freight behind":     frame(`{}x`),
		"a hostile endpoint": frame(`{"endpoints":["1.2.3.4:0/udp; flush ruleset"]}`),
		"a wrong type":       frame(`{"pid":"root"}`),
	} {
		if err := ReadFrame(bytes.NewReader(data), new(Call)); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
	if err := WriteFrame(new(bytes.Buffer), strings.Repeat("x", maxFrame)); err == nil {
		t.Error("a frame beyond the bound was written")
	}
}

func TestCallsNeedWhatTheirVerbNeeds(t *testing.T) {
	for _, c := range []Call{{}, {Verb: "open"}, {Verb: VerbUp}, {Verb: VerbLock}, {Verb: VerbStop}, {Verb: VerbRestart}, {Verb: VerbUpdate, PID: -1}, {Verb: VerbMove, PID: 12}, {Verb: VerbExpire}} {
		if c.check() == nil {
			t.Errorf("%+v was taken", c)
		}
	}
}

// FuzzReadFrame wants that whatever comes in is an error or a call that can be
// checked, and that memory grows with what came, not with what was said.
func FuzzReadFrame(f *testing.F) {
	f.Add(frame(`{"version":1,"verb":"stop","selection":{"Dev":"tun0"}}`))
	f.Add(frame(`{"version":1,"verb":"up","up":{"Dev":"tun0","Endpoints":["203.0.113.10:1194/udp"]}}`))
	f.Add([]byte{0, 0x10, 0, 0, '['})
	f.Fuzz(func(t *testing.T, data []byte) {
		var c Call
		if ReadFrame(bytes.NewReader(data), &c) != nil {
			return
		}
		_ = c.check()
		_ = Peer{UID: 1000}.may(c.Verb, &guard.Selection{})
		for _, e := range c.Endpoints {
			if !e.IsValid() {
				t.Errorf("endpoint %v came through", e)
			}
		}
	})
}
