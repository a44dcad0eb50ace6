package password_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"

	"lus/internal/base/errs"
	"lus/internal/service/account/internal/password"
)

func TestAPasswordIsKnownAgain(t *testing.T) {
	h := password.New()
	hash, err := h.Hash(t.Context(), "correct horse")
	if err != nil {
		t.Fatal(err)
	}
	again, err := h.Hash(t.Context(), "correct horse")
	if err != nil || again == hash {
		t.Errorf("the same password has the same hash twice: no salt (%v)", err)
	}
	if strings.Contains(hash, "horse") || !strings.HasPrefix(hash, "$argon2id$v=19$m=19456,t=2,p=1$") {
		t.Errorf("the hash is %s", hash)
	}
	for try, want := range map[string]bool{"correct horse": true, "correct horse ": false, "": false, strings.Repeat("x", 1<<16): false} {
		if got, err := h.Same(t.Context(), hash, try); got != want || err != nil {
			t.Errorf("%.20q: %v, %v", try, got, err)
		}
	}
}

func TestNobodysHashIsNeverTheSame(t *testing.T) {
	h := password.New()
	for _, try := range []string{"", "x", strings.Repeat("\x00", 32)} {
		if got, err := h.Same(t.Context(), "", try); got || err != nil {
			t.Errorf("%q: %v, %v", try, got, err)
		}
	}
}

func TestPasswordsThatAreRefused(t *testing.T) {
	for _, p := range []string{"", "1234567", strings.Repeat("x", 513), "with\nbreak", "with\x00zero"} {
		if _, err := password.New().Hash(t.Context(), p); !errs.Is(err, errs.Invalid) {
			t.Errorf("%.20q: %v", p, err)
		}
	}
}

func TestHashesThatAskForTooMuchAreRefused(t *testing.T) {
	const rest = "$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
	h := password.New()
	if _, err := h.Same(t.Context(), "$argon2id$v=19$m=64,t=1,p=1"+rest, "x"); err != nil {
		t.Fatalf("one with other parameters: %v", err)
	}
	for _, bad := range []string{
		"x", "$argon2id$v=19$m=4000000,t=1,p=1" + rest, "$argon2id$v=19$m=64,t=4000,p=1" + rest, "$argon2id$v=19$m=64,t=0,p=1" + rest,
		"$argon2i$v=19$m=64,t=1,p=1" + rest, "$argon2id$v=18$m=64,t=1,p=1" + rest, "$argon2id$v=19$m=64,t=1,p=1$AA$AA",
	} {
		if _, err := h.Same(t.Context(), bad, "x"); !errs.Is(err, errs.Internal) {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

func TestTheWorkAtOnceIsBounded(t *testing.T) {
	h := password.New()
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	var mu sync.Mutex
	var refused, ended int
	for range 200 {
		wg.Go(func() {
			_, err := h.Same(ctx, "", "x")
			mu.Lock()
			defer mu.Unlock()
			switch {
			case errs.Is(err, errs.TooMany):
				refused++
				cancel() // who waits goes home
			case err == nil || errors.Is(err, context.Canceled):
				ended++
			default:
				t.Error(err)
			}
		})
	}
	wg.Wait()
	cancel()
	if refused == 0 || ended == 0 {
		t.Errorf("%d refused, %d served", refused, ended)
	}
	if ok, err := h.Same(t.Context(), "", "x"); ok || err != nil {
		t.Errorf("afterwards: %v, %v", ok, err)
	}
}
