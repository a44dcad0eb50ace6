package daemon

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"lus/internal/base/layout"
	"lus/test/need"
)

// lusDNS makes the test's binary be the name server: it is started as the daemon
// does.
const lusDNS = "lus-dns"

// notAtOnce hands over all names, but not at the first try.
type notAtOnce chan error

// ServeNames implements served.
func (tries notAtOnce) ServeNames(context.Context) error { return <-tries }

// Where another name server cannot be told all names at once it is tried again: it
// answers for nobody until then.
func TestANameServerIsToldAgain(t *testing.T) {
	t.Parallel()
	need.Root(t)
	dir := short(t)
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	binary := filepath.Join(dir, lusDNS)
	if err := os.WriteFile(binary, self, 0o755); err != nil {
		t.Fatal(err)
	}
	l := layout.Resolve(dir, dir)
	n := &names{layout: l, binary: binary, log: slog.New(slog.DiscardHandler)}
	if n.client, err = n.connect(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if err := errors.Join(n.stop(ctx), n.Close(), dropCgroups(ctx, "lus-"+l.Instance())); err != nil {
			t.Error(err)
		}
	})
	ctx, end := context.WithCancel(t.Context())
	tries, ended := make(notAtOnce), make(chan error, 1)
	go func() { ended <- n.run(ctx, tries) }()
	if err := n.current().Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, answer := range []error{errors.New("not now"), errors.New("nor now"), nil} {
		select {
		case tries <- answer:
		case <-time.After(30 * time.Second):
			t.Fatal("it is not told again")
		}
	}
	if _, err := n.List(t.Context()); err != nil {
		t.Error(err)
	}
	end()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
