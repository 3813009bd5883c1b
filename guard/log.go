package guard

import (
	"errors"

	"github.com/vpnguard/vpnguard/nft"
	"github.com/vpnguard/vpnguard/rules"
)

// replace puts the ruleset in force. A kernel that lacks nothing but nflog is
// sealed all the same, without telling what it blocks; the record remembers,
// so that the next change does not ask in vain. Where nflog is there, nothing
// is asked twice.
func (g *Guard) replace(rec *Record, rs rules.Ruleset) (nft.Listing, error) {
	listing, err := g.Filter.Replace(rs)
	if rec.NoLog || !lacksOnlyLog(err) {
		return listing, err
	}
	silent := *rec
	silent.NoLog = true
	rs, errBuild := rules.Build(silent.policy())
	if errBuild != nil {
		return listing, err
	}
	if listing, err = g.Filter.Replace(rs); err == nil {
		rec.NoLog = true
	}
	return listing, err
}

func lacksOnlyLog(err error) bool {
	var lacks *nft.UnsupportedError
	if !errors.As(err, &lacks) || len(lacks.Missing) == 0 {
		return false
	}
	for _, f := range lacks.Missing {
		if f.Token != nft.NFLog.Token {
			return false
		}
	}
	return true
}
