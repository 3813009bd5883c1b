package main

import (
	"runtime/debug"

	"github.com/vpnguard/vpnguard/guard"
	"github.com/vpnguard/vpnguard/state"
)

// A hook's call is to need less than 20 MiB, the program's text included. With a
// few endpoints it ends before there is anything to collect. With many it does
// not, and by itself the collector waits too long: what only the audit needs is
// static data of 5 MiB, by which it measures how much more it may let come.
const (
	manyEndpoints = 64
	leanBytes     = 7 << 20 // of what is allocated
)

func stayLean(endpoints int) {
	if endpoints > manyEndpoints {
		debug.SetMemoryLimit(leanBytes)
	}
}

// leanJournal is the journal of a call that is to stay lean.
type leanJournal struct{ *state.Store }

func (j leanJournal) Load(body any) (state.Meta, error) {
	meta, err := j.Store.Load(body)
	if rec, ok := body.(*guard.Record); ok {
		for _, s := range rec.Sessions {
			stayLean(len(s.Endpoints))
		}
	}
	return meta, err
}
