package image

import (
	"context"
	"testing"

	"lus/internal/base/errs"
)

// A name that came to mean another image after it was looked up is not taken
// from that one.
func TestARemovalTakesNoNameFromAnotherImage(t *testing.T) {
	t.Parallel()
	ctx, s := context.Background(), alone(t)
	old := s.imported(t, "app:1", "old")
	n, err := s.current(ctx)
	if err != nil {
		t.Fatal(err)
	}
	new := s.imported(t, "app:1", "new")
	r := removal{id: old, ref: "app:1", all: n.byID[old]}
	r.choose(n)
	removed, err := s.remove(ctx, n, r)
	if !errs.Is(err, errs.NotFound) || len(removed) > 0 {
		t.Errorf("it took %+v, %v", removed, err)
	}
	if i, err := s.InspectImage(ctx, "app:1"); err != nil || i.ID != new {
		t.Errorf("the name means %+v, %v", i, err)
	}
}
