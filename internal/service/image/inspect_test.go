package image

import (
	"testing"

	"lus/internal/model/image"
)

func TestEachStepOfTheHistoryHasTheSizeOfItsLayer(t *testing.T) {
	history := []image.History{{CreatedBy: "base"}, {CreatedBy: "ENV", EmptyLayer: true}, {CreatedBy: "RUN"}, {CreatedBy: "CMD", EmptyLayer: true}}
	got := sized(history, []int64{7, 100})
	for i, want := range []int64{100, 0, 7, 0} {
		if got[i].Size != want {
			t.Errorf("%s: %d bytes, want %d", got[i].CreatedBy, got[i].Size, want)
		}
	}
	if history[0].Size != 0 {
		t.Error("the shared history was changed")
	}
	if n := len(sized(nil, []int64{1})); n != 0 {
		t.Errorf("%d steps out of nothing", n)
	}
}
