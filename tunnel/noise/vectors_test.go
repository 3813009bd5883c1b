package noise

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"strings"
	"testing"

	"golang.org/x/crypto/blake2s"

	"github.com/vpnguard/vpnguard/tunnel/crypt"
	"github.com/vpnguard/vpnguard/tunnel/key"
)

// ikpsk2 are the published vectors of the Noise protocol's IKpsk2 with
// WireGuard's primitives (github.com/flynn/noise v1.1.0, vectors.txt, BSD), with
// and without payloads. WireGuard is this pattern with a prologue and a payload
// of its own.
const ikpsk2 = `
init_static=000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f
resp_static=0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20
gen_init_ephemeral=202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f
gen_resp_ephemeral=4142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f60
preshared_key=2176657279736563726574766572797365637265747665727973656372657421
msg_0_payload=
msg_0_ciphertext=358072d6365880d1aeea329adf9121383851ed21a28e3b75e965d0d2cd166254d06f15f78ad0914d9715147bb5a5004b27345a838bab4aa8bc5f144afc2cf4cca972105ba526e8c92b759e028200e766f827aa12a04ecbc0bdcd9e574e007945
msg_1_payload=
msg_1_ciphertext=64b101b1d0be5a8704bd078f9895001fc03e8e9f9522f188dd128d9846d484668c46d966ca4fe339f9e47fd25f68de8a
msg_2_payload=79656c6c6f777375626d6172696e65
msg_2_ciphertext=6013ea114b4c4884afb82bf029f72f924bd8a32c487a15a1cef4855ba234be
msg_3_payload=7375626d6172696e6579656c6c6f77
msg_3_ciphertext=8a2e7119635e41a35b7e64e0adac5483b66b1a9827895124ea07d58440b654

init_static=000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f
resp_static=0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20
gen_init_ephemeral=202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f
gen_resp_ephemeral=4142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f60
preshared_key=2176657279736563726574766572797365637265747665727973656372657421
msg_0_payload=746573745f6d73675f30
msg_0_ciphertext=358072d6365880d1aeea329adf9121383851ed21a28e3b75e965d0d2cd166254d06f15f78ad0914d9715147bb5a5004b27345a838bab4aa8bc5f144afc2cf4cca972105ba526e8c92b759e028200e7666a3d77b86f9aa87dcfe685e771e38b97d3c5996368c663051641
msg_1_payload=746573745f6d73675f31
msg_1_ciphertext=64b101b1d0be5a8704bd078f9895001fc03e8e9f9522f188dd128d9846d48466168e6913e78d7a2b04b2f3d5529e73e953bafe6c7ce2b1005367
msg_2_payload=79656c6c6f777375626d6172696e65
msg_2_ciphertext=6013ea114b4c4884afb82bf029f72f924bd8a32c487a15a1cef4855ba234be
msg_3_payload=7375626d6172696e6579656c6c6f77
msg_3_ciphertext=8a2e7119635e41a35b7e64e0adac5483b66b1a9827895124ea07d58440b654

init_static=000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f
resp_static=0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20
gen_init_ephemeral=202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f
gen_resp_ephemeral=4142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f60
prologue=6e6f74736563726574
preshared_key=2176657279736563726574766572797365637265747665727973656372657421
msg_0_payload=
msg_0_ciphertext=358072d6365880d1aeea329adf9121383851ed21a28e3b75e965d0d2cd166254d06f15f78ad0914d9715147bb5a5004b27345a838bab4aa8bc5f144afc2cf4ccb88f9ea1ebd99e94b76e50af7eee0e59549f4f47de925ee65c9dee48f8990082
msg_1_payload=
msg_1_ciphertext=64b101b1d0be5a8704bd078f9895001fc03e8e9f9522f188dd128d9846d484665db536cf97f15c6ece2431fc1c0057b4
msg_2_payload=79656c6c6f777375626d6172696e65
msg_2_ciphertext=6013ea114b4c4884afb82bf029f72f924bd8a32c487a15a1cef4855ba234be
msg_3_payload=7375626d6172696e6579656c6c6f77
msg_3_ciphertext=8a2e7119635e41a35b7e64e0adac5483b66b1a9827895124ea07d58440b654

init_static=000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f
resp_static=0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20
gen_init_ephemeral=202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f
gen_resp_ephemeral=4142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f60
prologue=6e6f74736563726574
preshared_key=2176657279736563726574766572797365637265747665727973656372657421
msg_0_payload=746573745f6d73675f30
msg_0_ciphertext=358072d6365880d1aeea329adf9121383851ed21a28e3b75e965d0d2cd166254d06f15f78ad0914d9715147bb5a5004b27345a838bab4aa8bc5f144afc2cf4ccb88f9ea1ebd99e94b76e50af7eee0e596a3d77b86f9aa87dcfe61d972bc6f34d0e93751d1260fa6bf0fe
msg_1_payload=746573745f6d73675f31
msg_1_ciphertext=64b101b1d0be5a8704bd078f9895001fc03e8e9f9522f188dd128d9846d48466168e6913e78d7a2b04b2b154c5149032d1c2584051bdcf04db1d
msg_2_payload=79656c6c6f777375626d6172696e65
msg_2_ciphertext=6013ea114b4c4884afb82bf029f72f924bd8a32c487a15a1cef4855ba234be
msg_3_payload=7375626d6172696e6579656c6c6f77
msg_3_ciphertext=8a2e7119635e41a35b7e64e0adac5483b66b1a9827895124ea07d58440b654
`

func raw(t *testing.T, hexed string) []byte {
	t.Helper()
	b, err := hex.DecodeString(hexed)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func identity(t *testing.T, secret []byte) (*Local, key.Public) {
	t.Helper()
	k, err := key.ParsePrivate(base64.StdEncoding.EncodeToString(secret))
	if err != nil {
		t.Fatal(err)
	}
	l, err := NewLocal(k)
	if err != nil {
		t.Fatal(err)
	}
	return l, l.Public()
}

func TestHandshakeIsThatOfThePublishedVectors(t *testing.T) {
	blocks := strings.Split(strings.TrimSpace(ikpsk2), "\n\n")
	if len(blocks) != 4 {
		t.Fatalf("%d vectors", len(blocks))
	}
	for _, block := range blocks {
		v := map[string][]byte{}
		for line := range strings.Lines(block) {
			name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
			v[name] = raw(t, value)
		}
		li, pi := identity(t, v["init_static"])
		lr, pr := identity(t, v["resp_static"])
		psk, err := key.ParsePreshared(base64.StdEncoding.EncodeToString(v["preshared_key"]))
		if err != nil {
			t.Fatal(err)
		}
		toR, err := li.NewRemote(pr, psk)
		if err != nil {
			t.Fatal(err)
		}
		toI, err := lr.NewRemote(pi, psk)
		if err != nil {
			t.Fatal(err)
		}
		ei, err := newEphemeral(bytes.NewReader(v["gen_init_ephemeral"]))
		if err != nil {
			t.Fatal(err)
		}
		er, err := newEphemeral(bytes.NewReader(v["gen_resp_ephemeral"]))
		if err != nil {
			t.Fatal(err)
		}
		prologue := string(v["prologue"])

		i := &Initiator{begin(prologue, pr[:]), ei, toR}
		first := make([]byte, 32+staticSize+TagSize+len(v["msg_0_payload"]))
		if err := i.write(li, first, v["msg_0_payload"]); err != nil || !bytes.Equal(first, v["msg_0_ciphertext"]) {
			t.Errorf("first message %x, %v, want %x", first, err, v["msg_0_ciphertext"])
		}
		r := &Responder{symmetric: begin(prologue, pr[:])}
		payload := make([]byte, len(v["msg_0_payload"]))
		if err := r.read(lr, v["msg_0_ciphertext"]); err != nil || r.Peer() != pi {
			t.Errorf("first message read: %v, peer %s", err, r.Peer())
		}
		if err := r.prove(toI, payload); err != nil || !bytes.Equal(payload, v["msg_0_payload"]) {
			t.Errorf("first payload %x, %v", payload, err)
		}
		second := make([]byte, 32+TagSize+len(v["msg_1_payload"]))
		kr, err := r.write(toI, er, second, v["msg_1_payload"])
		if err != nil || !bytes.Equal(second, v["msg_1_ciphertext"]) {
			t.Errorf("second message %x, %v, want %x", second, err, v["msg_1_ciphertext"])
		}
		payload = make([]byte, len(v["msg_1_payload"]))
		ki, err := i.read(li, payload, v["msg_1_ciphertext"])
		if err != nil || !bytes.Equal(payload, v["msg_1_payload"]) {
			t.Errorf("second payload %x, %v", payload, err)
		}
		if ki.Send != kr.Receive || ki.Receive != kr.Send || ki.Send == ki.Receive {
			t.Error("the keys do not agree")
		}
		for name, k := range map[string][32]byte{"msg_2": ki.Send, "msg_3": kr.Send} {
			c, err := crypt.NewKey(&k)
			if err != nil {
				t.Fatal(err)
			}
			plain := v[name+"_payload"]
			out := make([]byte, len(plain)+TagSize)
			if c.SealOne(out, plain, len(plain), 0); !bytes.Equal(out, v[name+"_ciphertext"]) {
				t.Errorf("%s is %x, want %x", name, out, v[name+"_ciphertext"])
			}
		}
	}
}

func TestPrimitivesAreThoseOfTheirDocuments(t *testing.T) {
	// RFC 7693, appendix B.
	if got := blake2s.Sum256([]byte("abc")); !bytes.Equal(got[:], raw(t, "508c5e8c327c14e2e1a72ba34eeb452f37458b209ed63a294d999b4c86675982")) {
		t.Errorf("BLAKE2s of abc is %x", got)
	}
	// RFC 7748, section 6.1.
	l, public := identity(t, raw(t, "77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a"))
	if !bytes.Equal(public[:], raw(t, "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a")) {
		t.Errorf("public key %x", public)
	}
	got, err := shared(l.private, raw(t, "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f"))
	if err != nil || !bytes.Equal(got, raw(t, "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742")) {
		t.Errorf("shared secret %x, %v", got, err)
	}
	// Points of low order: all that RFC 7748, section 6.1, lets one check for.
	for _, low := range []string{
		"0000000000000000000000000000000000000000000000000000000000000000",
		"0100000000000000000000000000000000000000000000000000000000000000",
		"e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
		"5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
		"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	} {
		if got, err := shared(l.private, raw(t, low)); err == nil {
			t.Errorf("%s gives %x", low, got)
		}
	}
}
