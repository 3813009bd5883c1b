// Package openvpn runs the system's OpenVPN as server and client in a
// laboratory, with certificates of its own making.
package openvpn

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"github.com/vpnguard/vpnguard/lab/site"
)

// PKI is a directory with ca.crt and the .crt and .key of server and client.
type PKI struct{ Dir string }

// NewPKI makes certificates that are valid for a day in a new directory dir.
func NewPKI(dir string) (PKI, error) {
	p := PKI{dir}
	if err := p.fill(); err != nil {
		return p, fmt.Errorf("make certificates in %q: %w", dir, err)
	}
	return p, nil
}

func (p PKI) fill() error {
	if err := os.Mkdir(p.Dir, 0o755); err != nil {
		return err
	}
	ca := template("laboratory ca")
	ca.IsCA, ca.BasicConstraintsValid = true, true
	ca.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	caKey, err := p.issue("ca", ca, ca, nil)
	if err != nil {
		return err
	}
	for name, use := range map[string]x509.ExtKeyUsage{"server": x509.ExtKeyUsageServerAuth, "client": x509.ExtKeyUsageClientAuth} {
		leaf := template(name)
		leaf.KeyUsage = x509.KeyUsageDigitalSignature
		leaf.ExtKeyUsage = []x509.ExtKeyUsage{use}
		if name == "server" {
			// OpenConnect compares the address that it was given.
			for _, a := range []netip.Addr{site.Server, site.ServerTwo, site.Server6, site.ServerTwo6} {
				leaf.IPAddresses = append(leaf.IPAddresses, a.AsSlice())
			}
		}
		if _, err := p.issue(name, leaf, ca, caKey); err != nil {
			return err
		}
	}
	return nil
}

func template(name string) *x509.Certificate {
	serial, _ := rand.Int(rand.Reader, big.NewInt(1<<62))
	return &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name},
		// An hour back, for a clock that is stepped in a test.
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
	}
}

// issue writes NAME.crt and NAME.key, signed by itself if signer is nil.
func (p PKI) issue(name string, cert, parent *x509.Certificate, signer *ecdsa.PrivateKey) (*ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	if signer == nil {
		signer = key
	}
	der, err := x509.CreateCertificate(rand.Reader, cert, parent, &key.PublicKey, signer)
	if err != nil {
		return nil, err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	for _, f := range []struct {
		suffix, kind string
		mode         os.FileMode
		der          []byte
	}{{".crt", "CERTIFICATE", 0o644, der}, {".key", "PRIVATE KEY", 0o600, private}} {
		text := pem.EncodeToMemory(&pem.Block{Type: f.kind, Bytes: f.der})
		if err := os.WriteFile(filepath.Join(p.Dir, name+f.suffix), text, f.mode); err != nil {
			return nil, err
		}
	}
	return key, nil
}

func (p PKI) lines(name string) string {
	return fmt.Sprintf("ca %s/ca.crt\ncert %s/%s.crt\nkey %s/%s.key\n", p.Dir, p.Dir, name, p.Dir, name)
}
