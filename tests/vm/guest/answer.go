package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"time"
)

// asking is for a connection that is refused by silence.
const asking = 5 * time.Second

// tell says to each who connects which address he has.
func tell(at string) error {
	l, err := net.Listen("tcp", at)
	if err != nil {
		return err
	}
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		host, _, _ := net.SplitHostPort(c.RemoteAddr().String())
		_, _ = fmt.Fprintln(c, host)
		_ = c.Close()
	}
}

// ask prints what [tell] says.
func ask(at string) error {
	c, err := net.DialTimeout("tcp", at, asking)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(asking)); err != nil {
		return err
	}
	text, err := io.ReadAll(io.LimitReader(c, 100))
	if err == nil {
		_, err = os.Stdout.Write(text)
	}
	return err
}
