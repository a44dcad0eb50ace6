package throttle

// Sizes are the numbers of counters.
func (t *Throttle) Sizes() (pairs, addrs, users, good int) {
	return len(t.pairs), len(t.addrs), len(t.users), len(t.good)
}
