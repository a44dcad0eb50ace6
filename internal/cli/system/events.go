package system

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"lus/internal/base/errs"
	"lus/internal/cli/command"
	"lus/internal/cli/container"
	"lus/internal/cli/output"
	"lus/internal/cli/terminal"
	"lus/internal/client"
	"lus/internal/model/event"
)

func eventsCommand() command.Command {
	return command.Command{
		Name: "events", Short: "Show what happens, as it happens",
		Example: "events --since 10m --filter type=container", Min: 0, Max: 0,
		Flags: func(e *command.Env, f *pflag.FlagSet) command.Do {
			filters := output.FilterFlag(f, "f", "Only those that fit, as event=die")
			format := f.String("format", "", "Print by a Go template, or json")
			since := f.String("since", "", "From this time on, or from 10m ago")
			until := f.String("until", "", "Until this time")
			return func(ctx context.Context, _ []string) error {
				q, err := output.Filters(*filters)
				if err != nil {
					return err
				}
				for key, text := range map[string]string{"since": *since, "until": *until} {
					if text == "" {
						continue
					}
					at, err := container.Moment(text, time.Now())
					if err != nil {
						return err
					}
					q.Set(key, at)
				}
				resp, err := e.Client.Send(ctx, client.Request{Method: "GET", Path: "/events", Query: q})
				if err != nil {
					return err
				}
				defer resp.Body.Close()
				return printEvents(e.Out, resp.Body, *format)
			}
		},
	}
}

// printEvents prints each event as it comes, so that no line waits for the next.
func printEvents(w io.Writer, from io.Reader, format string) error {
	news := client.NewMessages(from)
	for {
		var ev event.Event
		if err := news.Next(&ev); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return errs.New(errs.Unavailable, "the daemon went away: %w", err)
		}
		if format == "" {
			if _, err := fmt.Fprintln(w, terminal.Harmless(w, line(ev))); err != nil {
				return err
			}
			continue
		}
		if err := output.List(w, format, "", nil, []event.Event{ev}); err != nil {
			return err
		}
	}
}

// line writes an event as Docker does: time, what happened to what, attributes.
func line(ev event.Event) string {
	at := time.Unix(0, ev.TimeNano)
	if ev.TimeNano == 0 {
		at = time.Unix(ev.Time, 0)
	}
	text := fmt.Sprintf("%s %s %s %s", at.Format("2006-01-02T15:04:05.000000000Z07:00"), ev.Type, ev.Action, ev.Actor.ID)
	var attrs []string
	for _, k := range slices.Sorted(maps.Keys(ev.Actor.Attributes)) {
		attrs = append(attrs, k+"="+ev.Actor.Attributes[k])
	}
	if len(attrs) > 0 {
		text += " (" + strings.Join(attrs, ", ") + ")"
	}
	return text
}
