package build_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"lus/internal/base/layout"
	"lus/internal/keeper/client"
	"lus/internal/keeper/program"
	initproc "lus/internal/linux/init"
	"lus/internal/linux/runtime"
	"lus/test/need"
)

// TestMain lets the test's own binary be lus-keeper.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && strings.HasPrefix(os.Args[1], "--") {
		os.Exit(program.Main(os.Args[1:], os.Stderr))
	}
	os.Exit(m.Run())
}

// engineRoom is our runtime with a keeper of the test's own, which outlives
// the builder as it outlives a daemon.
type engineRoom struct {
	*runtime.Native
	keeper *client.Client
	cgroup string
}

func newRuntime(t testing.TB, root string) *engineRoom {
	t.Helper()
	if f, err := initproc.Open(); err != nil {
		need.Unmet(t, "the init: run internal/linux/init/build.sh")
	} else {
		f.Close()
	}
	must(t, os.Chmod(root, 0o755))
	where := layout.Resolve(filepath.Join(root, "state"), filepath.Join(root, "run"))
	self, err := os.Executable()
	must(t, err)
	c, err := client.Ensure(context.Background(), where, self)
	must(t, err)
	rt, err := runtime.New(c)
	must(t, err)
	return &engineRoom{Native: rt, keeper: c, cgroup: "lus-test-build-" + where.Instance()}
}

// close lets go of the keeper, and ends it: nothing of a build may run any more.
func (r *engineRoom) close(t testing.TB) {
	t.Helper()
	ctx := context.Background()
	list, err := r.keeper.List(ctx)
	if err != nil {
		t.Error(err)
	}
	for _, st := range list {
		t.Errorf("a container is left: %+v", st)
		_ = r.Delete(ctx, st.Container)
	}
	if err := r.Native.Close(r.cgroup); err != nil {
		t.Error(err)
	}
	if err := r.keeper.Quit(ctx); err != nil {
		t.Error(err)
	}
	<-r.keeper.Done()
	r.keeper.Close()
}
