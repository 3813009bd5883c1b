package key

import (
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
)

// redacted stands for a secret wherever it would be printed.
const redacted = "(secret)"

// secret is 32 bytes that no verb, logger or encoder prints.
type secret struct{ b [Size]byte }

// Format writes a placeholder for every verb; without it %d would print bytes.
func (secret) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, redacted) }

// String returns a placeholder.
func (secret) String() string { return redacted }

// GoString returns a placeholder.
func (secret) GoString() string { return redacted }

// LogValue returns a placeholder.
func (secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText returns a placeholder.
func (secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// Reveal returns the key's text, for its owner only.
func (s secret) Reveal() string { return base64.StdEncoding.EncodeToString(s.b[:]) }

// Bytes returns a copy of the key. Whoever takes it erases it.
func (s secret) Bytes() [Size]byte { return s.b }

// IsZero tells in constant time whether s is no key.
func (s secret) IsZero() bool { return s.equal(secret{}) }

func (s secret) equal(o secret) bool { return subtle.ConstantTimeCompare(s.b[:], o.b[:]) == 1 }

// Equal compares in constant time.
func (k Private) Equal(o Private) bool { return k.equal(o.secret) }

// Equal compares in constant time.
func (k Preshared) Equal(o Preshared) bool { return k.equal(o.secret) }
