//go:build !faultpoints

package fault

// Point does nothing in a release build.
func Point(string) {}

// Refuse returns nil in a release build.
func Refuse(string) error { return nil }
