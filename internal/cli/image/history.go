package image

import (
	"context"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/docker/go-units"
	"github.com/spf13/pflag"

	"lus/internal/cli/command"
	"lus/internal/cli/output"
	"lus/internal/client"
)

// step is a line of GET /images/NAME/history.
type step struct {
	ID        string `json:"Id"`
	Created   int64
	CreatedBy string
	Size      int64
	Comment   string
}

func historyCommand() command.Command {
	return command.Command{
		Name: "history", Args: "IMAGE", Short: "Show the steps that made an image",
		Example: "history debian:bookworm-slim", Min: 1, Max: 1,
		Flags: func(e *command.Env, f *pflag.FlagSet) command.Do {
			format := f.String("format", "", "Print by a Go template, table or json")
			human := f.BoolP("human", "H", true, "Print sizes and dates for people")
			noTrunc := f.Bool("no-trunc", false, "Do not cut anything short")
			quiet := f.BoolP("quiet", "q", false, "Only print ids")
			only := platformFlag(f)
			return func(ctx context.Context, args []string) error {
				q := url.Values{}
				if err := setPlatform(q, "platform", *only); err != nil {
					return err
				}
				var list []step
				if err := e.Client.Call(ctx, client.Request{Method: "GET", Path: path(args[0], "history"), Query: q}, &list); err != nil {
					return err
				}
				rows := make([]stepRow, 0, len(list))
				for _, s := range list {
					rows = append(rows, stepRow{s, !*noTrunc, *human})
				}
				if *quiet && *format == "" {
					*format = "{{.ID}}"
				}
				columns := "{{.ID}}\t{{.CreatedSince}}\t{{.CreatedBy}}\t{{.Size}}\t{{.Comment}}"
				headers := output.Headers{"ID": "IMAGE", "CreatedSince": "CREATED", "CreatedAt": "CREATED AT", "CreatedBy": "CREATED BY", "Size": "SIZE", "Comment": "COMMENT"}
				if !*human {
					columns = strings.Replace(columns, "CreatedSince", "CreatedAt", 1)
				}
				return output.List(e.Out, *format, columns, headers, rows)
			}
		},
	}
}

// stepRow is one step; its methods are the fields of templates.
type stepRow struct {
	s            step
	trunc, human bool
}

func (r stepRow) ID() string { return shortID(r.s.ID, r.trunc) }

func (r stepRow) CreatedSince() string {
	if r.s.Created <= 0 {
		return "N/A"
	}
	return units.HumanDuration(time.Since(time.Unix(r.s.Created, 0))) + " ago"
}

func (r stepRow) CreatedAt() string { return time.Unix(r.s.Created, 0).Format(time.RFC3339) }

func (r stepRow) CreatedBy() string {
	by := strings.ReplaceAll(r.s.CreatedBy, "\t", " ")
	if r.trunc {
		return output.Ellipsis(by, 45)
	}
	return by
}

func (r stepRow) Size() string {
	if r.human {
		return units.HumanSizeWithPrecision(float64(r.s.Size), 3)
	}
	return strconv.FormatInt(r.s.Size, 10)
}

func (r stepRow) Comment() string { return r.s.Comment }
