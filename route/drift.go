package route

import "slices"

// Drift says what the kernel has of ours that was not planned, and what it lacks,
// a sentence each. A route that went with its device is the kernel's doing; gone
// are the indexes of such devices.
func Drift(planned, have Plan, gone func(index int) bool) (drift []string) {
	for _, r := range missing(planned.Rules, have.Rules, equal) {
		drift = append(drift, "routing rule "+r.String()+" is missing")
	}
	for _, r := range missing(have.Rules, planned.Rules, equal) {
		drift = append(drift, "routing rule "+r.String()+" is left over")
	}
	lost := slices.DeleteFunc(missing(planned.Routes, have.Routes, Route.same), func(r Route) bool { return r.Dev != 0 && gone(r.Dev) })
	for _, r := range lost {
		drift = append(drift, "route "+r.String()+" is missing")
	}
	for _, r := range missing(have.Routes, planned.Routes, Route.same) {
		drift = append(drift, "route "+r.String()+" is left over")
	}
	return drift
}
