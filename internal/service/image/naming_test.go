package image_test

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"testing"

	"lus/internal/base/errs"
	model "lus/internal/model/image"
)

// What comes without a name, and is here under one, goes with that.
func TestAnImageWithANameIsNotDanglingAsWell(t *testing.T) {
	w := newWorld(t)
	id := w.importTar("app:1", tarOf(t, entry{name: "f", text: "x"}))
	if err := w.LoadImages(context.Background(), bytes.NewReader(w.save(id)), nil); err != nil {
		t.Fatal(err)
	}
	removed, err := w.RemoveImage(context.Background(), "app:1", false, true)
	if err != nil || !slices.Equal(removed, []model.Removed{{Untagged: "app:1"}, {Deleted: id}}) {
		t.Errorf("%v, %v", removed, err)
	}
}

func TestSeveralTagsAreNotRemovedByTheIDUnforced(t *testing.T) {
	w := newWorld(t)
	id := w.importTar("app:1", tarOf(t, entry{name: "f", text: "x"}))
	if err := w.TagImage(context.Background(), id, "app:2"); err != nil {
		t.Fatal(err)
	}
	removed, err := w.RemoveImage(context.Background(), id, false, true)
	if !errs.Is(err, errs.Conflict) || !strings.Contains(err.Error(), "must be forced") {
		t.Errorf("%v, %v", removed, err)
	}
	if got := w.inspect(id).RepoTags; len(got) != 2 {
		t.Errorf("its names are %v", got)
	}
}

// pulledTwice is an image that was pulled by its tag and by its digest.
func (w *world) pulledTwice() (tag, byDigest string) {
	w.t.Helper()
	img := imageOf(w.t, layer(w.t, entry{name: "f", text: "x"}))
	tag = w.reg.push("app:1", img)
	d, err := img.Digest()
	if err != nil {
		w.t.Fatal(err)
	}
	byDigest = w.reg.host + "/app@" + d.String()
	w.pull(byDigest)
	w.pull(tag)
	return tag, byDigest
}

func TestTheLastTagTakesTheDigestsOfItsRepositoryAlong(t *testing.T) {
	w := newWorld(t)
	tag, byDigest := w.pulledTwice()
	id := w.inspect(tag).ID
	removed, err := w.RemoveImage(context.Background(), tag, false, true)
	if err != nil || !slices.Equal(removed, []model.Removed{{Untagged: tag}, {Untagged: byDigest}, {Deleted: id}}) {
		t.Errorf("%v, %v", removed, err)
	}
}

// Where an image can be had is known as long as it has a name in that repository.
func TestAnImageKeepsTheDigestThatItIsKnownBy(t *testing.T) {
	ctx := context.Background()
	known := func(w *world, ref, digest, when string) {
		t.Helper()
		if got := w.inspect(ref).RepoDigests; !slices.Equal(got, []string{digest}) {
			t.Errorf("%s: it is known by %v, want %s", when, got, digest)
		}
	}
	w := newWorld(t)
	img := imageOf(t, layer(t, entry{name: "f", text: "x"}))
	ref := w.reg.push("app:1", img)
	d, _ := img.Digest()
	digest := w.reg.host + "/app@" + d.String()
	w.pull(ref)
	saved := w.save(ref)
	if err := w.LoadImages(ctx, bytes.NewReader(saved), nil); err != nil {
		t.Fatal(err)
	}
	known(w, ref, digest, "loaded over itself")

	// A name that is sorted before it has no such digest.
	for _, name := range []string{"0:1", w.reg.host + "/app:mine"} {
		if err := w.TagImage(ctx, ref, name); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.RemoveImage(ctx, ref, false, true); err != nil {
		t.Fatal(err)
	}
	known(w, "0:1", digest, "tagged in its repository")

	other := &world{t: t, root: t.TempDir(), users: &users{}, reg: w.reg}
	other.open()
	defer other.store.Close()
	if err := other.LoadImages(ctx, bytes.NewReader(saved), nil); err != nil {
		t.Fatal(err)
	}
	other.pull(ref)
	known(other, ref, digest, "loaded, and pulled")
}
