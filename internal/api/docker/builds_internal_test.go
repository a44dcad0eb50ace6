package docker

import "testing"

// A client that cancels the build of an id cancels all that run under it, and one
// that ended takes the others' end with it no more than its own.
func TestABuildIsCancelledByItsID(t *testing.T) {
	var b builds
	other, endOther := b.begin(t.Context(), "b")
	defer endOther()
	first, endFirst := b.begin(t.Context(), "a")
	second, endSecond := b.begin(t.Context(), "a")
	third, endThird := b.begin(t.Context(), "a")
	defer endSecond()
	defer endThird()
	endFirst()
	if first.Err() == nil || second.Err() != nil || third.Err() != nil {
		t.Errorf("after the first ended: %v, %v, %v", first.Err(), second.Err(), third.Err())
	}
	b.cancel("a")
	b.cancel("unknown")
	if second.Err() == nil || third.Err() == nil || other.Err() != nil {
		t.Errorf("after the cancel: %v, %v, of another id %v", second.Err(), third.Err(), other.Err())
	}
	endSecond()
	endThird()
	if len(b.ends) != 1 {
		t.Errorf("%d ids are kept", len(b.ends))
	}
}
