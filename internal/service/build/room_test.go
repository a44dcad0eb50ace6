package build_test

import (
	"context"
	"io"
	"net"
	"testing"
	"time"

	controlapi "github.com/moby/buildkit/api/services/control"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"lus/internal/model/build"
)

// Whoever asked for a build that ended for want of room, and however, the cache gives
// its space back then.
func TestABuildThatMeetsAFullDiskGivesTheCacheBack(t *testing.T) {
	t.Parallel()
	// What says so in its error has met one.
	const words = "no space left on device"
	failing := folder(t, map[string]string{"Dockerfile": "FROM busybox\nCOPY [\"" + words + "\", \"/\"]\n"})
	for way, fails := range map[string]func(b *builder) error{
		"BuildKit's": func(b *builder) error {
			_, err := b.Build(t.Context(), &build.Request{ContextDir: failing}, nil)
			return err
		},
		"the classic builder's": func(b *builder) error {
			_, err := b.Build(t.Context(), &build.Request{ContextDir: failing, Classic: true}, io.Discard)
			return err
		},
		"buildx's": func(b *builder) error {
			ours, theirs := net.Pipe()
			defer ours.Close()
			ended := make(chan error, 1)
			go func() { ended <- b.ServeControl(t.Context(), theirs) }()
			c, err := grpc.NewClient("passthrough:builder", grpc.WithTransportCredentials(insecure.NewCredentials()),
				grpc.WithContextDialer(func(context.Context, string) (net.Conn, error) { return ours, nil }))
			must(t, err)
			_, err = controlapi.NewControlClient(c).Solve(t.Context(), &controlapi.SolveRequest{Ref: "r", Frontend: words})
			must(t, c.Close())
			must(t, <-ended)
			return err
		},
	} {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			b := newBuilder(t)
			ctx, stop := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() { ended <- b.Run(ctx) }()
			defer func() {
				stop()
				must(t, <-ended)
			}()
			_, err := b.Build(t.Context(), &build.Request{ContextDir: folder(t, map[string]string{"Dockerfile": "FROM busybox\nCOPY f /f\n", "f": "f"})}, nil)
			must(t, err)
			if list, err := b.Cache(t.Context()); err != nil || len(list) == 0 {
				t.Fatalf("the cache has %d records, %v", len(list), err)
			}
			if err := fails(b); err == nil {
				t.Fatal("it works")
			}
			for deadline := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Second) { // a look is a use, after which it waits
				list, err := b.Cache(t.Context())
				must(t, err)
				if len(list) == 0 {
					return
				}
				if time.Now().After(deadline) {
					t.Fatalf("the cache still has %d records", len(list))
				}
			}
		})
	}
}
