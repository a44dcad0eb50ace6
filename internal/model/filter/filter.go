// Package filter holds the filters that list requests carry.
package filter

// Filters are a list request's filters: key to accepted values, any of which
// is enough ("status" -> "running", "exited").
type Filters map[string][]string

// Has reports whether anything is asked of key.
func (f Filters) Has(key string) bool { return len(f[key]) > 0 }

// Match reports whether one of the values asked of key is accepted by ok, or
// nothing is asked of it.
func (f Filters) Match(key string, ok func(want string) bool) bool {
	if !f.Has(key) {
		return true
	}
	for _, want := range f[key] {
		if ok(want) {
			return true
		}
	}
	return false
}
