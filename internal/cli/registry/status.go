package registry

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/docker/go-units"
	"github.com/spf13/pflag"

	"lus/internal/cli/command"
	"lus/internal/model/registry"
)

func statusCommand() command.Command {
	return command.Command{
		Name: "status", Short: "Show where the registry listens and what it holds",
		Example: "registry status", Min: 0, Max: 0,
		Flags: func(e *command.Env, f *pflag.FlagSet) command.Do {
			asJSON := f.Bool("json", false, "Print as JSON")
			return func(ctx context.Context, _ []string) error {
				var st registry.Status
				if err := call(ctx, e, "GET", "status", nil, nil, &st); err != nil {
					return err
				}
				if *asJSON {
					return json.NewEncoder(e.Out).Encode(st)
				}
				print(e, &st)
				return nil
			}
		},
	}
}

func print(e *command.Env, st *registry.Status) {
	state := "not enabled (lus registry enable)"
	switch {
	case st.Listening != "":
		state = "listens at " + st.Listening + " without TLS"
		if st.Secure {
			state = "listens at " + st.Listening + " with TLS"
		}
	case st.Enabled && st.Error != "":
		state = "enabled, but " + st.Error
	case st.Enabled:
		state = "enabled, and about to listen at " + st.Address
	}
	fmt.Fprintf(e.Out, "Registry:      %s\nRepositories:  %d\nTags:          %d\nBlobs:         %d (%s)\nUploads:       %d under way\n",
		state, st.Repositories, st.Tags, st.Blobs, units.HumanSize(float64(st.Size)), st.Uploads)
}
