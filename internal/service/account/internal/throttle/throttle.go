// Package throttle makes who guesses passwords wait: the longer, the more were
// wrong. It counts a try before it is made, so that many at once gain nothing,
// and its memory is bounded.
package throttle

import (
	"net/netip"
	"sync"
	"time"
)

// limit is how many wrong tries are free, and how long the longest wait is; the
// first takes a second and each further one twice the former.
type limit struct {
	free    int
	longest time.Duration
}

// most bounds the counters of each kind. Where there are more, one of a few that
// are looked at makes room: the one with the fewest wrong tries.
const (
	most  = 4096
	looks = 16
)

// forget is after how long without a wrong try all is forgiven.
const forget = 30 * time.Minute

// trusted is how long a user who signed in from an address is not held up there
// by what others do.
const trusted = 7 * 24 * time.Hour

// Throttle counts. Its methods are safe for concurrent use.
type Throttle struct {
	now   func() time.Time
	mu    sync.Mutex
	pairs counters
	addrs counters
	users counters
	good  map[pair]time.Time

	// Some clients show a wrong password twice before they tell of it.
	//
	// The limits: of one user from one address; of an address over all users; of
	// a user over all addresses. The wide ones are loose, since people share
	// addresses, and since nobody must be able to lock a user out.
	narrow, address, anyUser limit
}

// pair is one user at one address.
type pair struct {
	user string
	from netip.Prefix
}

type counter struct {
	tries int
	last  time.Time
}

type counters map[pair]*counter

// New returns a throttle; now is the clock.
func New(now func() time.Time) *Throttle {
	return &Throttle{
		now: now, pairs: counters{}, addrs: counters{}, users: counters{}, good: map[pair]time.Time{},
		narrow:  limit{free: 10, longest: 5 * time.Minute},
		address: limit{free: 100, longest: time.Minute},
		anyUser: limit{free: 100, longest: time.Minute},
	}
}

// Outcome is how a try went.
type Outcome int

// The outcomes.
const (
	Wrong   Outcome = iota
	Right           // all is forgiven to this user at this address
	Untried         // nobody looked at the password
)

// Try asks for leave to try a password. Where it must wait, wait is above zero;
// else done is to be called with how it went.
func (t *Throttle) Try(user string, from netip.Addr) (done func(Outcome), wait time.Duration) {
	at := network(from)
	p := pair{user, at}
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now()
	counted := []*counter{t.pairs.get(p, now)}
	wait = t.narrow.wait(counted[0], now)
	if since, ok := t.good[p]; !ok || now.Sub(since) > trusted {
		a, u := t.addrs.get(pair{from: at}, now), t.users.get(pair{user: user}, now)
		counted = append(counted, a, u)
		wait = max(wait, t.address.wait(a, now), t.anyUser.wait(u, now))
	}
	if wait > 0 {
		return nil, wait
	}
	for _, c := range counted {
		c.tries++
		c.last = now
	}
	return func(o Outcome) {
		if o != Wrong {
			t.undo(p, counted, o == Right)
		}
	}, 0
}

// undo takes a try back that was none of a guesser.
func (t *Throttle) undo(p pair, counted []*counter, right bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, c := range counted {
		c.tries = max(0, c.tries-1)
	}
	if !right {
		return
	}
	counted[0].tries = 0
	if _, ok := t.good[p]; !ok && len(t.good) >= most {
		t.dropGood()
	}
	t.good[p] = t.now()
}

// network is what counts as one address: of IPv6 everybody has a whole /64.
func network(a netip.Addr) netip.Prefix {
	a = a.Unmap().WithZone("")
	bits := 32
	if a.Is6() {
		bits = 64
	}
	p, err := a.Prefix(bits)
	if err != nil { // no address, as of a unix socket
		return netip.Prefix{}
	}
	return p
}

func (l limit) wait(c *counter, now time.Time) time.Duration {
	over := c.tries - l.free
	if over < 0 {
		return 0
	}
	pause := l.longest
	if over < 20 {
		pause = min(pause, time.Second<<over)
	}
	return max(0, c.last.Add(pause).Sub(now))
}

func (m counters) get(k pair, now time.Time) *counter {
	c := m[k]
	if c != nil {
		if now.Sub(c.last) > forget {
			c.tries = 0
		}
		return c
	}
	if len(m) >= most {
		m.drop()
	}
	c = &counter{last: now}
	m[k] = c
	return c
}

// drop removes a counter that tells little.
func (m counters) drop() {
	var least pair
	seen := 0
	for k, c := range m { // begins anywhere
		if l := m[least]; l == nil || c.tries < l.tries || c.tries == l.tries && c.last.Before(l.last) {
			least = k
		}
		if seen++; seen == looks {
			break
		}
	}
	delete(m, least)
}

// dropGood forgets a user's address that was not used for longer than others.
func (t *Throttle) dropGood() {
	var oldest pair
	seen := 0
	for k, when := range t.good {
		if o, ok := t.good[oldest]; !ok || when.Before(o) {
			oldest = k
		}
		if seen++; seen == looks {
			break
		}
	}
	delete(t.good, oldest)
}
