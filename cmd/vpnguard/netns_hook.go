package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vpnguard/vpnguard/netns"
)

// netnsHookCommand is what OpenVPN calls as `up` and `down` in a namespace.
type netnsHookCommand struct {
	Args []string `arg:"" optional:"" passthrough:""`
}

// hookReplyTime is how long the process that keeps the namespace may take. It
// takes some milliseconds; a machine that is starting may be much slower.
const hookReplyTime = 60 * time.Second

// Run tells the process that keeps the namespace, and becomes the user's own hook
// afterwards, inside.
func (c *netnsHookCommand) Run(w *world) error {
	if err := unix.SetNonblock(fdHook, true); err != nil {
		return &usageError{fmt.Errorf("talk to the namespace's process: %w", err), "this command is started by OpenVPN of `vpnguard netns up`"}
	}
	keeper := os.NewFile(fdHook, "hook")
	text, err := json.Marshal(hookCall{PID: os.Getpid(), Env: w.env, Args: c.Args})
	if err != nil {
		return err
	}
	if err := keeper.SetDeadline(time.Now().Add(hookReplyTime)); err != nil {
		return fmt.Errorf("talk to the namespace's process: %w", err)
	}
	if _, err := keeper.Write(text); err != nil {
		return fmt.Errorf("tell the namespace's process: %w", err)
	}
	var reply hookReply
	for buf := make([]byte, maxCall); reply.PID != os.Getpid(); {
		n, err := keeper.Read(buf)
		if err == nil {
			reply = hookReply{} // one for a hook that was killed is not for us
			err = json.Unmarshal(buf[:n], &reply)
		}
		if err != nil {
			return fmt.Errorf("hear from the namespace's process: %w", err)
		}
	}
	if reply.Failed != "" {
		return errors.New(reply.Failed)
	}
	if len(reply.Then) == 0 {
		return nil
	}
	name, err := netns.ParseName(reply.Namespace)
	if err != nil {
		return err
	}
	space, err := netns.Open(name)
	if err != nil {
		return err
	}
	return w.namespaces().Page(name).Become(space, reply.Then, w.env)
}
