package deploy

import (
	"context"
	"net/url"
	"strconv"
	"time"

	"github.com/docker/go-units"
	"github.com/spf13/pflag"

	"lus/internal/cli/command"
	"lus/internal/cli/output"
	"lus/internal/client"
	"lus/internal/model/compose"
)

func lsCommand() command.Command {
	return command.Command{
		Name: "ls", Aliases: []string{"list"}, Args: "[PROJECT]", Short: "List what was deployed, newest first",
		Example: "deploy ls shop", Min: 0, Max: 1,
		Flags: func(e *command.Env, f *pflag.FlagSet) command.Do {
			how := output.ListFlags(f, "ID", "numbers")
			return func(ctx context.Context, args []string) error {
				q := url.Values{}
				if len(args) > 0 {
					q.Set("project", args[0])
				}
				var list []compose.Deployment
				if err := e.Client.Call(ctx, client.Request{Method: "GET", Path: root, Query: q}, &list); err != nil {
					return err
				}
				headers := output.Headers{"ID": "N", "Project": "PROJECT", "Age": "AGE", "By": "BY", "Commit": "COMMIT", "Outcome": "OUTCOME", "Changes": "CHANGES"}
				return output.Rows(e.Out, how, "{{.ID}}\t{{.Project}}\t{{.Age}}\t{{.By}}\t{{.Commit}}\t{{.Outcome}}\t{{.Changes}}", headers, list,
					func(d compose.Deployment) row { return row{d} })
			}
		},
	}
}

// row is a deployment as a line of the list.
type row struct{ d compose.Deployment }

func (r row) ID() string      { return strconv.FormatInt(r.d.ID, 10) }
func (r row) Project() string { return r.d.Project }
func (r row) At() string      { return r.d.At.Format(time.RFC3339) }
func (r row) Age() string     { return units.HumanDuration(time.Since(r.d.At)) + " ago" }
func (r row) By() string      { return r.d.By.User }
func (r row) Outcome() string { return r.d.Outcome }
func (r row) Commit() string  { return commit(r.d.Source) }

// MarshalJSON is the deployment itself.
func (r row) MarshalJSON() ([]byte, error) { return marshal(r.d) }

// Changes says in a few words what was done.
func (r row) Changes() string {
	made, replaced, removed := 0, 0, 0
	for _, line := range r.d.Plan {
		switch line[:min(1, len(line))] {
		case "+":
			made++
		case "~":
			replaced++
		case "-":
			removed++
		}
	}
	s := "+" + strconv.Itoa(made) + " ~" + strconv.Itoa(replaced) + " -" + strconv.Itoa(removed)
	if r.d.Rollback != 0 {
		s += " (back to " + strconv.FormatInt(r.d.Rollback, 10) + ")"
	}
	return s
}

// commit is a commit as people read it, with a star where files differed.
func commit(s *compose.Source) string {
	if s == nil || s.Commit == "" {
		return ""
	}
	c := s.Commit[:min(12, len(s.Commit))]
	if len(s.Dirty) > 0 {
		c += "*"
	}
	return c
}
