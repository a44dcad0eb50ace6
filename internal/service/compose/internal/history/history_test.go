package history_test

import (
	"context"
	"path/filepath"
	"sync"
	"testing"

	"lus/internal/base/errs"
	"lus/internal/model/compose"
	"lus/internal/service/compose/internal/history"
	"lus/internal/store/sqlite"
)

func open(t *testing.T, path string) *history.History {
	t.Helper()
	db, err := sqlite.Open(path, history.Migrations())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return &history.History{DB: db}
}

func add(t *testing.T, h *history.History, project, hash string) *compose.Deployment {
	t.Helper()
	d := &compose.Deployment{
		Project: project, Outcome: compose.Underway, Images: map[string]compose.Pin{"img": {ID: "sha256:" + hash}},
		Config: &compose.Project{Name: project, Services: []compose.Service{{Name: "web", Hash: hash}}},
	}
	if err := h.Add(context.Background(), d); err != nil {
		t.Fatal(err)
	}
	return d
}

func TestWhatIsKeptIsFoundAgain(t *testing.T) {
	ctx := context.Background()
	h := open(t, filepath.Join(t.TempDir(), "db"))
	a, b := add(t, h, "p", "one"), add(t, h, "p", "two")
	add(t, h, "other", "one")
	got, err := h.Get(ctx, a.ID)
	if err != nil || got.Project != "p" || got.Config.Services[0].Hash != "one" {
		t.Fatalf("got %+v, %v", got, err)
	}
	before, err := h.Before(ctx, "p", b.ID)
	if err != nil || before.ID != a.ID {
		t.Errorf("before %d is %+v, %v", b.ID, before, err)
	}
	if before, err := h.Before(ctx, "p", a.ID); before != nil || err != nil {
		t.Errorf("before the first is %+v, %v", before, err)
	}
	former := h.Former(ctx, "p")
	if former("web", "one") == nil || former("web", "two") == nil || former("web", "three") != nil || former("db", "one") != nil {
		t.Error("a former service is not found, or one that never was is")
	}
	if _, err := h.Get(ctx, 99); !errs.Is(err, errs.NotFound) {
		t.Errorf("one that never was: %v", err)
	}
	images, err := h.Images(ctx, map[string]bool{"p": true}, 1)
	if err != nil || len(images) != 1 || !images["sha256:two"] {
		t.Errorf("the newest needs %v, %v", images, err)
	}
}

func TestOldOnesAreForgottenByProject(t *testing.T) {
	h := open(t, filepath.Join(t.TempDir(), "db"))
	kept := add(t, h, "other", "x")
	for range history.Keep + 5 {
		add(t, h, "p", "x")
	}
	list, err := h.List(context.Background(), "p")
	if err != nil || len(list) != history.Keep {
		t.Errorf("%d are kept, %v", len(list), err)
	}
	if list[0].ID < list[1].ID {
		t.Error("the newest is not first")
	}
	if _, err := h.Get(context.Background(), kept.ID); err != nil {
		t.Errorf("another project's is forgotten: %v", err)
	}
}

func TestADaemonThatEndedInTheMiddleIsTold(t *testing.T) {
	ctx := context.Background()
	h := open(t, filepath.Join(t.TempDir(), "db"))
	d := add(t, h, "p", "one")
	if err := h.Recover(ctx); err != nil {
		t.Fatal(err)
	}
	if got, err := h.Get(ctx, d.ID); err != nil || got.Outcome != compose.Interrupted {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestChangesAtOnceAreBothKept(t *testing.T) {
	ctx := context.Background()
	h := open(t, filepath.Join(t.TempDir(), "db"))
	d := add(t, h, "p", "one")
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if err := h.Change(ctx, d.ID, func(d *compose.Deployment) { d.Plan = append(d.Plan, "line") }); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if got, err := h.Get(ctx, d.ID); err != nil || len(got.Plan) != 20 {
		t.Errorf("%d of 20 changes are kept, %v", len(got.Plan), err)
	}
}
