package throttle_test

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"lus/internal/service/account/internal/throttle"
)

// world is a throttle with a clock that only moves when told to.
type world struct {
	*throttle.Throttle
	now time.Time
}

func newWorld() *world {
	w := &world{now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
	w.Throttle = throttle.New(func() time.Time { return w.now })
	return w
}

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

// guess tries once, and reports whether it was let.
func (w *world) guess(user, from string, right bool) bool {
	done, wait := w.Try(user, addr(from))
	if wait > 0 {
		return false
	}
	outcome := throttle.Wrong
	if right {
		outcome = throttle.Right
	}
	done(outcome)
	return true
}

func TestGuessesWithinADayAreFew(t *testing.T) {
	w := newWorld()
	let := 0
	for range 24 * 60 * 60 {
		if w.guess("ada", "10.0.0.1", false) {
			let++
		}
		w.now = w.now.Add(time.Second)
	}
	if let > 320 || let < 200 { // one in five minutes
		t.Errorf("%d guesses in a day", let)
	}
}

func TestManyAtOnceGainNothing(t *testing.T) {
	w := newWorld()
	let := 0
	for range 1000 { // none has ended before the next begins
		if _, wait := w.Try("ada", addr("10.0.0.1")); wait == 0 {
			let++
		}
	}
	if let != 10 {
		t.Errorf("%d guesses at once", let)
	}
}

func TestTheRightPasswordForgives(t *testing.T) {
	w := newWorld()
	for range 100 {
		for range 9 {
			if !w.guess("ada", "10.0.0.1", false) {
				t.Fatal("held up after nine wrong tries")
			}
		}
		if !w.guess("ada", "10.0.0.1", true) {
			t.Fatal("held up with the right password")
		}
	}
}

func TestATryThatNobodyLookedAtIsNone(t *testing.T) {
	w := newWorld()
	for range 100 {
		done, wait := w.Try("ada", addr("10.0.0.1"))
		if wait > 0 {
			t.Fatal("held up without a wrong try")
		}
		done(throttle.Untried)
	}
	for range 10 {
		w.guess("ada", "10.0.0.1", false)
	}
	if w.guess("ada", "10.0.0.1", true) {
		t.Error("wrong tries were forgiven for one that nobody looked at")
	}
}

func TestAnAddressThatTriesManyUsersIsHeldUp(t *testing.T) {
	w := newWorld()
	let := 0
	for i := range 10000 {
		if w.guess(fmt.Sprint("user", i), "10.0.0.1", false) {
			let++
		}
	}
	if let != 100 {
		t.Errorf("%d guesses at once from one address", let)
	}
	// One's own account is no way around it.
	w = newWorld()
	let = 0
	for i := range 1000 {
		w.guess("mallory", "10.0.0.1", true)
		if w.guess(fmt.Sprint("user", i), "10.0.0.1", false) {
			let++
		}
	}
	if let != 100 {
		t.Errorf("%d guesses with a right password in between", let)
	}
}

func TestAUserIsNotLockedOutByOthers(t *testing.T) {
	w := newWorld()
	w.guess("ada", "10.9.9.9", true) // where she works
	let := 0
	for i := range 10000 {
		if w.guess("ada", fmt.Sprintf("10.%d.%d.1", i/250, i%250), false) {
			let++
		}
	}
	if let != 100 {
		t.Errorf("%d guesses at once from many addresses", let)
	}
	if !w.guess("ada", "10.9.9.9", true) {
		t.Error("she is locked out where she signed in before")
	}
	if w.guess("ada", "10.8.8.8", true) {
		t.Error("another address tells a right password while guessers are held up")
	}
	w.now = w.now.Add(2 * time.Minute)
	if !w.guess("ada", "10.8.8.8", true) {
		t.Error("held up for longer than a minute")
	}
}

func TestOneHomeOfIPv6IsOneAddress(t *testing.T) {
	w := newWorld()
	let := 0
	for i := range 1000 {
		if w.guess("ada", fmt.Sprintf("2001:db8::%x", i+1), false) {
			let++
		}
	}
	if let != 10 {
		t.Errorf("%d guesses from one /64", let)
	}
	if w.guess("bob", "::ffff:10.0.0.1", false); !w.guess("bob", "10.0.0.1", false) {
		t.Error("an address in another notation")
	}
}

func TestTheMemoryIsBounded(t *testing.T) {
	w := newWorld()
	for i := range 20000 {
		w.guess(fmt.Sprint("u", i), fmt.Sprintf("10.%d.%d.%d", i/65536, i/256%256, i%256), i%2 == 0)
		w.now = w.now.Add(time.Millisecond)
	}
	if pairs, addrs, users, good := w.Sizes(); max(pairs, addrs, users, good) > 4096 {
		t.Errorf("%d, %d, %d and %d counters", pairs, addrs, users, good)
	}
}
