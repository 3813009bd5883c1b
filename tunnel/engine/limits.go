package engine

import "time"

// The protocol's constants (6.1). Peers rely on them: none is configurable.
const (
	rekeyAfterMessages  = 1 << 60
	rejectAfterMessages = 1<<64 - 1<<13 - 1
	rekeyAfterTime      = 120 * time.Second
	rejectAfterTime     = 180 * time.Second
	rekeyAttemptTime    = 90 * time.Second
	rekeyTimeout        = 5 * time.Second
	keepaliveTimeout    = 10 * time.Second

	// maxAttempts to be answered before an initiator gives up.
	maxAttempts = int(rekeyAttemptTime / rekeyTimeout)
	// lateRekey is when a receiver that only receives asks for new keys: early
	// enough for one attempt before the old ones end.
	lateRekey = rejectAfterTime - keepaliveTimeout - rekeyTimeout
	// eraseAfter is when unused keys are forgotten.
	eraseAfter = 3 * rejectAfterTime
	// initiationGap is the least time between two initiations of one peer that
	// are answered: a true peer waits rekeyTimeout.
	initiationGap = time.Second / 50
)

// Bounds of what waits for a handshake. Local programs fill it, never a peer.
const (
	maxStagedPeer  = 128     // packets
	maxStagedBytes = 4 << 20 // of all peers
)
