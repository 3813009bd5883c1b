package scenario

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestACaseWithoutItsFramesIsRefused(t *testing.T) {
	const runs = `{"Case":{"id":"a","runs":[{"captures":[{"vantage":"wire"},{"vantage":"in"}]}]}`
	for text, ok := range map[string]bool{runs + `,"Frames":[[],null]}`: true, runs + `,"Frames":[[]]}`: false, runs + "}": false} {
		_, err := decodeReport(json.NewDecoder(strings.NewReader(text)))
		if (err == nil) != ok {
			t.Errorf("%s: %v", text, err)
		}
	}
}
