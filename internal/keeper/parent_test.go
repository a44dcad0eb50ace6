package keeper_test

import (
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// A program may ask to be killed when its parent ends, which the kernel takes for the
// thread that forked it: an upgrade is the end of no such thread.
func TestAnUpgradeIsTheEndOfNobodysParent(t *testing.T) {
	t.Parallel()
	b := start(t)
	begin := func(name string) {
		asked := filepath.Join(b.where.Run, name)
		b.run(b.logged(name), "exec setpriv --pdeathsig KILL sh -c 'echo >"+asked+"; exec sleep 1000'")
		for deadline := time.Now().Add(long); ; time.Sleep(time.Millisecond) {
			if _, err := os.Stat(asked); err == nil {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s did not begin", name)
			}
		}
	}
	for i := range 4 {
		for j := range 8 {
			begin("p" + strconv.Itoa(8*i+j))
		}
		if err := b.Upgrade(t.Context(), b.self, b.self, "--run", b.where.Run, "--root", b.where.Root); err != nil {
			t.Fatal(err)
		}
	}
	list, err := b.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(list) != 32 {
		t.Errorf("%d processes are known", len(list))
	}
	for _, s := range list {
		if s.Exit != nil {
			t.Errorf("%s has ended: %+v", s.Container, s.Exit)
		}
	}
}
