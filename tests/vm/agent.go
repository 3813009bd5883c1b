package vm

import (
	"encoding/json"
	"fmt"
	"net"
	"strings"
	"time"
)

// agent speaks to the program `guest serve`, which explains the lines.
type agent struct {
	conn net.Conn
	out  *json.Encoder
	in   *json.Decoder
}

type answered struct {
	Status int    `json:"status"`
	Out    string `json:"out"`
}

// agentTimeout is for what comes on top of a script's own time.
const agentTimeout = 20 * time.Second

func newAgent(conn net.Conn) (*agent, error) {
	a := &agent{conn, json.NewEncoder(conn), json.NewDecoder(conn)}
	var hello answered
	if err := a.in.Decode(&hello); err != nil {
		return nil, fmt.Errorf("wait for the guest's agent: %w", err)
	}
	return a, nil
}

// Run runs a script as root in the guest and returns what it wrote and its
// exit status. An error means that it is not known what the guest has done.
func (g *Guest) Run(timeout time.Duration, script string) (out string, status int, err error) {
	a := g.agent
	_ = a.conn.SetDeadline(time.Now().Add(timeout + agentTimeout)) // no deadline: bootLimit holds
	request := struct {
		Script  string        `json:"script"`
		Timeout time.Duration `json:"timeout"`
	}{script, timeout}
	var r answered
	if err := a.out.Encode(request); err != nil {
		return "", 0, fmt.Errorf("run %q in the guest: %w", script, err)
	}
	if err := a.in.Decode(&r); err != nil {
		return "", 0, fmt.Errorf("run %q in the guest: %w", script, err)
	}
	if r.Status < 0 {
		return r.Out, r.Status, fmt.Errorf("run %q in the guest: not ended after %s: %s", script, timeout, r.Out)
	}
	return strings.TrimSuffix(r.Out, "\n"), r.Status, nil
}
