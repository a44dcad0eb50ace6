package registry

import (
	"context"
	"fmt"
	"time"

	"github.com/docker/go-units"
	"github.com/spf13/pflag"

	"lus/internal/cli/command"
	"lus/internal/model/registry"
)

func gcCommand() command.Command {
	return command.Command{
		Name: "gc", Aliases: []string{"garbage-collect"}, Short: "Remove what nothing names; pushes and pulls go on meanwhile",
		Example: "registry gc --untagged", Min: 0, Max: 0,
		Flags: func(e *command.Env, f *pflag.FlagSet) command.Do {
			grace := f.Duration("grace", time.Hour, "Spare what came within this time, as a push may be building on it")
			untagged := f.Bool("untagged", false, "Remove manifests without a tag as well (pulls by digest end)")
			return func(ctx context.Context, _ []string) error {
				req := struct {
					Grace    int64 `json:"grace"`
					Untagged bool  `json:"untagged"`
				}{int64(*grace / time.Second), *untagged}
				var c registry.Collected
				if err := call(ctx, e, "POST", "gc", nil, req, &c); err != nil {
					return err
				}
				fmt.Fprintf(e.Out, "Removed %d manifests and %d blobs, ended %d uploads.\nTotal reclaimed space: %s\n",
					c.Manifests, c.Blobs, c.Uploads, units.HumanSize(float64(c.Bytes)))
				return nil
			}
		},
	}
}
