package state

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
)

type envelope struct {
	Format  string          `json:"format"`
	Version int             `json:"version"`
	BootID  string          `json:"boot_id"`
	Written time.Time       `json:"written"`
	Sum     string          `json:"sha256"`
	Body    json.RawMessage `json:"body"`
}

// encode returns env as the one line that a journal is, with its checksum.
func encode(env envelope) ([]byte, error) {
	sum, err := sumOf(env)
	if err != nil {
		return nil, err
	}
	env.Sum = sum
	line, err := json.Marshal(env)
	if err != nil {
		return nil, err
	}
	if len(line) >= MaxSize {
		return nil, fmt.Errorf("%d bytes, the limit is %d", len(line)+1, MaxSize)
	}
	return append(line, '\n'), nil
}

// sumOf returns the checksum: SHA-256 of the line with an empty checksum in it.
func sumOf(env envelope) (string, error) {
	env.Sum = ""
	line, err := json.Marshal(env)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(line)
	return hex.EncodeToString(sum[:]), nil
}

// decode returns the envelope that data spells, every byte of it accounted for.
func decode(data []byte) (envelope, error) {
	if len(data) > MaxSize {
		return envelope{}, &CorruptError{Why: TooLarge}
	}
	if err := checkVersion(data); err != nil {
		return envelope{}, err
	}
	var env envelope
	if err := json.Unmarshal(data, &env); err != nil {
		return envelope{}, &CorruptError{Why: WrongFormat, Err: err}
	}
	sum, err := sumOf(env)
	if err != nil {
		return envelope{}, &CorruptError{Why: WrongFormat, Err: err}
	}
	if env.Sum != sum {
		return envelope{}, &CorruptError{Why: WrongSum}
	}
	// Re-encoding catches what a decoder forgives: white space, the case of
	// names, doubled and unknown fields, other spellings of a number or a text.
	line, err := encode(env)
	if err != nil {
		return envelope{}, &CorruptError{Why: WrongFormat, Err: err}
	}
	if !bytes.Equal(line, data) {
		return envelope{}, &CorruptError{Why: WrongFormat}
	}
	return env, nil
}

// checkVersion reads only what every version has: a newer one may have another
// header and another checksum.
func checkVersion(data []byte) error {
	var head struct {
		Format  string `json:"format"`
		Version int    `json:"version"`
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	if err := dec.Decode(&head); err != nil {
		var typ *json.UnmarshalTypeError
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return &CorruptError{Why: Truncated}
		case errors.As(err, &typ):
			return &CorruptError{Why: WrongFormat, Err: err}
		default:
			return &CorruptError{Why: NotJSON, Err: err}
		}
	}
	switch {
	case head.Format != formatName:
		return &CorruptError{Why: WrongFormat}
	case head.Version > Version:
		return &NewerError{Have: head.Version, Know: Version}
	case head.Version < 1:
		return &CorruptError{Why: WrongVersion}
	}
	switch rest := data[dec.InputOffset():]; {
	case len(rest) == 0:
		return &CorruptError{Why: Truncated}
	case string(rest) != "\n":
		return &CorruptError{Why: TrailingData}
	}
	return nil
}

func decodeBody(raw json.RawMessage, body any) error {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	if err := dec.Decode(body); err != nil {
		return &CorruptError{Why: WrongBody, Err: err}
	}
	return nil
}
