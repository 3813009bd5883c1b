package tunnel_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"time"
)

// blast sends as much as goes by o.Count streams for o.Lasts. One processor is
// enough for it, and the tunnel's are the others.
func blast(o trafficOrder) (r result, err error) {
	runtime.GOMAXPROCS(1)
	fmt.Println("ready")
	done := make(chan error, o.Count)
	for range o.Count {
		c, err := net.DialTimeout("tcp", o.Addr.String(), 10*time.Second)
		if err != nil {
			return r, err
		}
		go func() {
			defer c.Close()
			buf := make([]byte, 1<<18)
			for end := time.Now().Add(o.Lasts); time.Now().Before(end); {
				if _, err := c.Write(buf); err != nil {
					done <- err
					return
				}
			}
			done <- nil
		}()
	}
	for range o.Count {
		err = errors.Join(err, <-done)
	}
	return r, err
}

// drain takes what o.Count streams bring until they end.
func drain(o trafficOrder) (r result, err error) {
	runtime.GOMAXPROCS(1)
	l, err := net.Listen("tcp", o.Addr.String())
	if err != nil {
		return r, err
	}
	defer l.Close()
	fmt.Println("ready")
	type part struct {
		bytes int
		err   error
	}
	done := make(chan part, o.Count)
	var begin time.Time
	for range o.Count {
		c, err := l.Accept()
		if err != nil {
			return r, err
		}
		if begin.IsZero() {
			begin = time.Now()
		}
		go func() {
			defer c.Close()
			buf := make([]byte, 1<<18)
			var p part
			for p.err == nil {
				var n int
				n, p.err = c.Read(buf)
				p.bytes += n
			}
			if errors.Is(p.err, io.EOF) {
				p.err = nil
			}
			done <- p
		}()
	}
	for range o.Count {
		p := <-done
		r.Good += p.bytes
		err = errors.Join(err, p.err)
	}
	r.Seconds = time.Since(begin).Seconds()
	return r, err
}
