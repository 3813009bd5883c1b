package main

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"time"
)

// Request and answer are lines of JSON, one after the other.
type request struct {
	Script  string        `json:"script"`
	Timeout time.Duration `json:"timeout"`
}

type answer struct {
	Status int    `json:"status"` // -1: it did not end by itself
	Out    string `json:"out"`    // of both streams
}

// serve runs what comes by the port, as root, one at a time.
func serve(port string) error {
	var f *os.File
	for { // udev makes the port when the driver is there
		var err error
		if f, err = os.OpenFile(port, os.O_RDWR, 0); err == nil {
			break
		}
		if !errors.Is(err, os.ErrNotExist) {
			return err
		}
		time.Sleep(20 * time.Millisecond)
	}
	in, out := json.NewDecoder(f), json.NewEncoder(f)
	if err := out.Encode(answer{Out: "ready"}); err != nil {
		return err
	}
	for {
		var r request
		if err := in.Decode(&r); err != nil {
			return err
		}
		if err := out.Encode(run(r)); err != nil {
			return err
		}
	}
}

func run(r request) answer {
	ctx, cancel := context.WithTimeout(context.Background(), r.Timeout)
	defer cancel()
	c := exec.CommandContext(ctx, "/bin/sh", "-c", r.Script)
	c.Env = append(os.Environ(), "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
	c.WaitDelay = time.Second
	text, err := c.CombinedOutput()
	a := answer{Out: string(text)}
	if err != nil {
		a.Status = c.ProcessState.ExitCode()
		if c.ProcessState == nil || ctx.Err() != nil {
			a.Status = -1
			a.Out += err.Error()
		}
	}
	return a
}
