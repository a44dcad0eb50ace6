package system

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"runtime"

	"github.com/spf13/pflag"

	"lus/internal/base/version"
	"lus/internal/cli/command"
	"lus/internal/cli/output"
)

// server is what the daemon says of itself.
type server struct {
	Version, ApiVersion, MinAPIVersion, GoVersion, Os, Arch, KernelVersion string
}

func versionCommand() command.Command {
	return command.Command{
		Name: "version", Short: "Show the versions of this program and of the daemon",
		Example: "version", Min: 0, Max: 0,
		Flags: func(e *command.Env, f *pflag.FlagSet) command.Do {
			format := f.StringP("format", "f", "", "Print by a Go template, or json")
			return func(ctx context.Context, _ []string) error {
				data, err := e.Client.Raw(ctx, "/version", nil)
				if *format != "" {
					perr := printVersions(e, *format, data)
					return cmp.Or(err, perr)
				}
				fmt.Fprintf(e.Out, "Client: Lus\n Version:           %s\n API version:       1.51\n Go version:        %s\n OS/Arch:           %s/%s\n",
					version.String(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
				if err != nil {
					return err
				}
				var s server
				if err := json.Unmarshal(data, &s); err != nil {
					return err
				}
				fmt.Fprintf(e.Out, "\nServer: Lus\n Version:           %s\n API version:       %s (minimum version %s)\n Go version:        %s\n OS/Arch:           %s/%s\n Kernel:            %s\n",
					s.Version, s.ApiVersion, s.MinAPIVersion, s.GoVersion, s.Os, s.Arch, s.KernelVersion)
				return nil
			}
		},
	}
}

// printVersions prints what both say of themselves, or this program alone where no
// daemon answered.
func printVersions(e *command.Env, format string, daemon []byte) error {
	both := map[string]any{
		"Client": map[string]string{"Version": version.String(), "ApiVersion": "1.51", "GoVersion": runtime.Version(), "Os": runtime.GOOS, "Arch": runtime.GOARCH},
		"Server": nil,
	}
	if daemon != nil {
		both["Server"] = json.RawMessage(daemon)
	}
	doc, err := json.Marshal(both)
	if err != nil {
		return err
	}
	if format == "json" {
		format = "{{json .}}"
	}
	return output.Objects(e.Out, format, []json.RawMessage{doc})
}
