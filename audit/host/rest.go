package host

import (
	"slices"

	"github.com/vpnguard/vpnguard/audit/catalogue"
	"github.com/vpnguard/vpnguard/audit/evidence"
)

// Rest are the classes of the catalogue that no case is about, with the reason.
func Rest(cases []evidence.Case) []evidence.Case {
	var all []evidence.Case
	for _, e := range catalogue.All() {
		if slices.ContainsFunc(cases, func(c evidence.Case) bool { return c.ID == e.ID }) {
			continue
		}
		c := evidence.Case{ID: e.ID, Title: e.Title, NotTested: "a machine in use is not to be attacked for it; the review found nothing that speaks of it"}
		switch e.Where {
		case catalogue.Namespaces, catalogue.Daemon:
			c.NotTested += "; `vpnguard audit lab` tests the same client and rules"
		case catalogue.Machine:
			c.NotTested = "it shows when a machine boots, sleeps or changes its card, not in the seconds of this audit"
		case catalogue.Server:
			c.NotTested = "it is about the server's side"
		case catalogue.Nowhere:
			c.NotTested = "no test says anything about it; it is stated as a residual risk"
		}
		all = append(all, c)
	}
	return all
}
