package system

import (
	"context"
	"net/url"
	"strings"

	"github.com/spf13/pflag"

	"lus/internal/base/errs"
	"lus/internal/cli/command"
	"lus/internal/cli/output"
)

func inspectCommand() command.Command {
	return command.Command{
		Name: "inspect", Args: "NAME|ID [NAME|ID...]", Short: "Show all that is known about a container, image, network or volume",
		Example: "inspect --format '{{.State.Status}}' web", Min: 1, Max: -1,
		Flags: func(e *command.Env, f *pflag.FlagSet) command.Do {
			format := f.StringP("format", "f", "", "Print by a Go template, or json")
			kind := f.String("type", "", "Only look for a container, image, network or volume")
			size := f.BoolP("size", "s", false, "Show a container's sizes")
			return func(ctx context.Context, args []string) error {
				switch *kind {
				case "", "container", "image", "network", "volume":
				default:
					return errs.New(errs.Invalid, `unknown type: %q: must be one of "container", "image", "network", "volume"`, *kind)
				}
				return output.Inspect(e.Out, e.Err, *format, args, func(name string) ([]byte, error) {
					return find(ctx, e, *kind, name, *size)
				})
			}
		},
	}
}

// find looks for a name among containers, then images, networks and volumes.
func find(ctx context.Context, e *command.Env, kind, name string, size bool) ([]byte, error) {
	q := url.Values{}
	if size {
		q.Set("size", "1")
	}
	escaped := url.PathEscape(name)
	for _, k := range []struct {
		kind, path string
		query      url.Values
	}{
		{"container", "/containers/" + escaped + "/json", q},
		{"image", "/images/" + strings.ReplaceAll(escaped, "%2F", "/") + "/json", nil},
		{"network", "/networks/" + escaped, nil},
		{"volume", "/volumes/" + escaped, nil},
	} {
		if kind != "" && kind != k.kind {
			continue
		}
		data, err := e.Client.Raw(ctx, k.path, k.query)
		if err == nil || kind != "" {
			return data, err
		}
		// What cannot be such a thing's name is not one.
		if !errs.Is(err, errs.NotFound) && !errs.Is(err, errs.Invalid) {
			return nil, err
		}
	}
	return nil, errs.New(errs.NotFound, "Error: No such object: %s", name)
}
