package confine

var (
	LandlockParts = landlockParts
	Refusal       = refusal
)
