package compose

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	"github.com/spf13/pflag"

	"lus/internal/base/version"
)

func versionCommand() command {
	return command{
		name: "version", dry: true, short: "Print the version", example: "lus compose version --short",
		flags: func(a *app, f *pflag.FlagSet) func(context.Context, []string) error {
			short := f.Bool("short", false, "the number alone")
			format := f.StringP("format", "f", "", "pretty (default) or json")
			return func(_ context.Context, args []string) error {
				if len(args) > 0 {
					return wrongUse("version", "version takes no arguments")
				}
				switch v := version.String(); {
				case *short:
					return a.lines([]string{strings.TrimPrefix(v, "v")})
				case *format == "json":
					return printJSON(a.Out, map[string]string{"version": v})
				case cmp.Or(*format, "pretty") != "pretty":
					return wrongUse("version", "unknown format %q: write pretty or json", *format)
				default:
					_, err := fmt.Fprintf(a.Out, "Lus Compose version %s\n", v)
					return err
				}
			}
		},
	}
}
