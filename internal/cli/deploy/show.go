package deploy

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"lus/internal/cli/command"
	"lus/internal/client"
	"lus/internal/model/compose"
)

func marshal(v any) ([]byte, error) { return json.Marshal(v) }

func showCommand() command.Command {
	return command.Command{
		Name: "show", Aliases: []string{"inspect"}, Args: "N", Short: "Show one deployment: who, from where, the images, the plan and how it ended",
		Example: "deploy show 3", Min: 1, Max: 1,
		Flags: func(e *command.Env, f *pflag.FlagSet) command.Do {
			format := f.String("format", "", "json: everything, with the resolved project")
			return func(ctx context.Context, args []string) error {
				n, err := number(args[0])
				if err != nil {
					return err
				}
				if *format == "json" {
					data, err := e.Client.Raw(ctx, path(n, ""), nil)
					if err == nil {
						_, err = e.Out.Write(data)
					}
					return err
				}
				if *format != "" {
					return command.WrongFlag(fmt.Sprintf("--format %q is not known: write json", *format), "")
				}
				var d compose.Deployment
				if err := e.Client.Call(ctx, client.Request{Method: "GET", Path: path(n, "")}, &d); err != nil {
					return err
				}
				_, err = fmt.Fprint(e.Out, text(&d))
				return err
			}
		},
	}
}

func text(d *compose.Deployment) string {
	var b strings.Builder
	line := func(key, value string) {
		if value != "" {
			fmt.Fprintf(&b, "%-9s %s\n", key, value)
		}
	}
	line("Number", fmt.Sprint(d.ID))
	line("Project", d.Project)
	line("At", fmt.Sprintf("%s, %.1f s", d.At.Format(time.RFC3339), d.Took.Seconds()))
	line("By", strings.Trim(d.By.User+": "+d.By.Command, ": "))
	if s := d.Source; s != nil {
		line("Commit", strings.TrimSpace(strings.Join([]string{s.Commit, s.Branch, s.Subject}, " ")))
		for _, path := range s.Dirty {
			line("", "  "+path)
		}
	}
	if d.Rollback != 0 {
		line("Back to", fmt.Sprint(d.Rollback))
	}
	line("Outcome", d.Outcome)
	line("Error", d.Error)
	for _, ref := range slices.Sorted(maps.Keys(d.Images)) {
		line("Image", ref+" "+d.Images[ref].ID)
	}
	for _, l := range d.Plan {
		b.WriteString("  " + l + "\n")
	}
	return b.String()
}
