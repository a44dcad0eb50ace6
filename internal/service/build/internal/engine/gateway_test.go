package engine

import (
	"context"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/executor"
	resourcestypes "github.com/moby/buildkit/executor/resources/types"
	"github.com/moby/buildkit/frontend"
	"github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/buildkit/frontend/gateway/forwarder"
	"github.com/moby/buildkit/solver/pb"
	"github.com/moby/buildkit/worker"

	"lus/internal/store/content"
	"lus/test/need"
)

// counting is an executor that runs nothing and counts what it is asked for.
type counting struct{ runs, execs atomic.Int32 }

func (c *counting) Run(ctx context.Context, _ string, _ executor.Mount, _ []executor.Mount, _ executor.ProcessInfo, started chan<- struct{}) (resourcestypes.Recorder, error) {
	c.runs.Add(1)
	if started != nil {
		close(started)
	}
	<-ctx.Done()
	return nil, context.Cause(ctx)
}

func (c *counting) Exec(context.Context, string, executor.ProcessInfo) error {
	c.execs.Add(1)
	return nil
}

// CVE-2024-23653: a frontend asks for privileged processes in containers of
// its own, past the Dockerfile.
func TestAFrontendsContainersHaveNoPrivileges(t *testing.T) {
	need.Root(t)
	asks := map[string]client.StartRequest{
		"privileged":            {Args: []string{"id"}, SecurityMode: pb.SecurityMode_INSECURE},
		"privileged, as second": {Args: []string{"id"}, SecurityMode: pb.SecurityMode_INSECURE},
	}
	for name, ask := range asks {
		t.Run(name, func(t *testing.T) {
			x := &counting{}
			first := strings.Contains(name, "second")
			err := solveWith(t, x, func(ctx context.Context, c client.Client) (*client.Result, error) {
				ctr, err := container(ctx, c)
				if err != nil {
					return nil, err
				}
				if first {
					if _, err := ctr.Start(ctx, client.StartRequest{Args: []string{"sleep"}}); err != nil {
						return nil, err
					}
				}
				p, err := ctr.Start(ctx, ask)
				if err != nil {
					return nil, err
				}
				return nil, p.Wait()
			})
			if err == nil || !strings.Contains(err.Error(), "security.insecure") {
				t.Errorf("the error is %v, want one about security.insecure", err)
			}
			if n := x.execs.Load(); n > 0 {
				t.Errorf("%d privileged processes joined a container", n)
			}
			if n := x.runs.Load(); !first && n > 0 {
				t.Errorf("%d privileged containers ran", n)
			}
		})
	}
}

// container makes a container over an empty root.
func container(ctx context.Context, c client.Client) (client.Container, error) {
	def, err := llb.Scratch().File(llb.Mkdir("/tmp", 0o755)).Marshal(ctx)
	if err != nil {
		return nil, err
	}
	res, err := c.Solve(ctx, client.SolveRequest{Definition: def.ToPB()})
	if err != nil {
		return nil, err
	}
	return c.NewContainer(ctx, client.NewContainerRequest{
		Mounts: []client.Mount{{Dest: "/", MountType: pb.MountType_BIND, Ref: res.Ref}},
	})
}

// solveWith runs a frontend of the test's.
func solveWith(t *testing.T, x executor.Executor, f client.BuildFunc) error {
	t.Helper()
	root := t.TempDir()
	st, err := content.Open(t.Context(), filepath.Join(root, "images"), content.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	e, err := Open(t.Context(), Options{
		Root: filepath.Join(root, "cache"), Store: st, Executor: x,
		Frontends: func(w worker.Infos) map[string]frontend.Frontend {
			return map[string]frontend.Frontend{"probe": forwarder.NewGatewayForwarder(w, f)}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	_, err = e.Solve(t.Context(), &Job{Frontend: "probe", Attrs: map[string]string{}})
	return err
}
