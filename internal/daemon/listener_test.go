package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"lus/internal/base/ids"
	model "lus/internal/model/registry"
)

// kept keeps settings as the registry does.
type kept struct {
	mu  sync.Mutex
	set model.Settings
	err error // why they cannot be kept
}

func (k *kept) Settings(context.Context) (model.Settings, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.set, nil
}

func (k *kept) SetSettings(_ context.Context, set model.Settings) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.err == nil {
		k.set = set
	}
	return k.err
}

// free are addresses of this host at which nobody listens.
func free(t *testing.T, n int) (all []string) {
	t.Helper()
	for len(all) < n {
		// One of many, and a port that the kernel gives nobody who asks for any: so
		// nobody else has it a moment later. Listening to find out would be in the way: a
		// program that is started meanwhile holds the socket until its exec.
		at := fmt.Sprintf("127.%d.%d.%d:%d", 1+rand.IntN(254), rand.IntN(256), 1+rand.IntN(254), 10_000+rand.IntN(8_000))
		if conn, err := net.Dial("tcp", at); err == nil {
			_ = conn.Close()
			continue
		}
		all = append(all, at)
	}
	return all
}

// hello says that it is this registry which answers: somebody else may have come
// to listen at the same port of all addresses.
type hello string

func (h hello) ServeHTTP(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, string(h)) }

func (h hello) answers(at string) bool {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: time.Minute}
	resp, err := client.Get("http://" + at)
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	said, err := io.ReadAll(resp.Body)
	return err == nil && string(said) == string(h)
}

// However many at once say where the registry is to listen, it listens at one
// address in the end, the one that is kept, and after the end of it nowhere.
func TestTheRegistryListensAtOneAddress(t *testing.T) {
	t.Parallel()
	k, h := &kept{}, hello(ids.New())
	l := &registryListener{settings: k, handler: h, log: slog.New(slog.DiscardHandler)}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- l.Run(ctx) }()
	var at []string // all of them
	for range 10 {
		var all sync.WaitGroup
		fresh := free(t, 12)
		at = append(at, fresh...)
		for _, a := range fresh {
			all.Go(func() {
				if err := l.Set(t.Context(), model.Settings{Enabled: true, Address: a}); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		var open []string
		for _, a := range at {
			if h.answers(a) {
				open = append(open, a)
			}
		}
		if len(open) != 1 || open[0] != l.listening() || open[0] != k.set.Address {
			t.Fatalf("it listens at %q, says %q, and keeps %q", open, l.listening(), k.set.Address)
		}
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	_ = l.Set(t.Context(), model.Settings{Enabled: true, Address: at[0]}) // a request that was late
	for _, a := range at {
		if h.answers(a) {
			t.Errorf("it listens at %s after its end", a)
		}
	}
}

// Settings that cannot be kept do not hold: the next start would go by the former.
func TestTheRegistryListensAsIsOnRecord(t *testing.T) {
	t.Parallel()
	k, h := &kept{}, hello(ids.New())
	l := &registryListener{settings: k, handler: h, log: slog.New(slog.DiscardHandler)}
	defer l.shut()
	at := free(t, 2)
	try := func(set model.Settings, fails error, open ...string) {
		t.Helper()
		k.err = fails
		if err := l.Set(t.Context(), set); !errors.Is(err, fails) {
			t.Errorf("it says %v", err)
		}
		for _, a := range at {
			if h.answers(a) != slices.Contains(open, a) {
				t.Errorf("it should listen at %q, and says %q", open, l.listening())
			}
		}
	}
	full := errors.New("the disk is full")
	try(model.Settings{Enabled: true, Address: at[0]}, full)
	try(model.Settings{Enabled: true, Address: at[0]}, nil, at[0])
	try(model.Settings{Enabled: true, Address: at[1]}, full, at[0])
	try(model.Settings{Address: at[0]}, full, at[0])
	try(model.Settings{Address: at[0]}, nil)
}
