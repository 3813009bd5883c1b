package probe

import (
	"io"
	"math/rand/v2"
)

// Pattern is an endless stream that is always the same and does not compress.
func Pattern() io.Reader {
	return rand.NewChaCha8([32]byte{'v', 'p', 'n', 'g', 'u', 'a', 'r', 'd'})
}
