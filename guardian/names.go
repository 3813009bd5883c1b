package guardian

import (
	"context"
	"time"

	"github.com/vpnguard/vpnguard/dns"
)

// namesPause is between two tries to listen to the system bus, which comes up
// after the guardian and may be restarted.
const namesPause = 10 * time.Second

// followNames pokes when an owner of the resolver configuration comes back: it
// has lost what it was told.
func (g *Guardian) followNames(ctx context.Context, came chan<- struct{}) {
	for ctx.Err() == nil {
		_ = dns.System{}.Watch(ctx, func(o dns.Owner) {
			g.Log.Info("an owner of the resolver configuration came up", "owner", o.String())
			poke(came)
		})
		select {
		case <-ctx.Done():
		case <-time.After(namesPause):
		}
	}
}

// tellNames logs, once, what of the resolvers could not be put right.
func (g *Guardian) tellNames(problem string) {
	if problem != "" && problem != g.names {
		g.Log.Error("the sessions' resolvers are not as they should be", "problem", problem)
	}
	g.names = problem
}
