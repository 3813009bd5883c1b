package main

import (
	"bytes"
	"fmt"

	"rsc.io/qr"
)

type peersQRCommand struct {
	File string `arg:"" help:"A peer's configuration, as peers add prints it; - is standard input."`
}

// Run prints a configuration as the code that WireGuard's apps read.
func (c *peersQRCommand) Run(w *world) error {
	data, _, err := w.readConf(c.File, warnExposed)
	if err != nil {
		return err
	}
	text, err := qrText(data)
	if err != nil {
		return &usageError{err, "nothing was changed"}
	}
	_, err = w.stdout.Write(text)
	return err
}

// quiet is how many light modules surround a code (ISO/IEC 18004, section 6.3.8).
const quiet = 4

// Colours are given, so that a light terminal shows dark modules dark too.
const (
	qrColours = "\x1b[40;97m"
	qrPlain   = "\x1b[0m"
)

// qrText draws a QR code by half blocks, two rows of modules in a line.
func qrText(data []byte) ([]byte, error) {
	code, err := qr.Encode(string(data), qr.L)
	if err != nil {
		return nil, fmt.Errorf("make a QR code of %d bytes: %w", len(data), err)
	}
	light := func(x, y int) bool { return !code.Black(x, y) } // out of the code all is light
	var b bytes.Buffer
	for y := -quiet; y < code.Size+quiet; y += 2 {
		b.WriteString(qrColours)
		for x := -quiet; x < code.Size+quiet; x++ {
			switch top, bottom := light(x, y), light(x, y+1); {
			case top && bottom:
				b.WriteString("█")
			case top:
				b.WriteString("▀")
			case bottom:
				b.WriteString("▄")
			default:
				b.WriteString(" ")
			}
		}
		b.WriteString(qrPlain + "\n")
	}
	return b.Bytes(), nil
}
