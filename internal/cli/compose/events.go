package compose

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"lus/internal/base/errs"
	"lus/internal/client"
	"lus/internal/model/compose"
)

// engineEvent is one event of GET /events.
type engineEvent struct {
	Type, Action string
	Actor        struct {
		ID         string
		Attributes map[string]string
	}
	Time     int64 `json:"time"`
	TimeNano int64 `json:"timeNano"`
}

func (e engineEvent) service() string { return e.Actor.Attributes[compose.LabelService] }

func (e engineEvent) at() time.Time {
	if e.TimeNano != 0 {
		return time.Unix(0, e.TimeNano)
	}
	return time.Unix(e.Time, 0)
}

// own are the attributes less those by which Compose finds its containers.
func (e engineEvent) own() map[string]string {
	out := maps.Clone(e.Actor.Attributes)
	maps.DeleteFunc(out, func(k, _ string) bool { return strings.HasPrefix(k, "com.docker.compose.") })
	return out
}

func eventsCommand() command {
	return command{
		name: "events", dry: true, args: "[SERVICE...]", short: "Show what happens to the project's containers, as it happens", example: "lus compose events --json web",
		flags: func(a *app, f *pflag.FlagSet) func(context.Context, []string) error {
			asJSON := f.Bool("json", false, "one JSON object a line")
			since := f.String("since", "", "from this time on, or from 10m ago")
			until := f.String("until", "", "until this time")
			return func(ctx context.Context, services []string) error {
				project, _, err := a.known(ctx, services, false)
				if err != nil {
					return err
				}
				bounds := url.Values{}
				for key, text := range map[string]string{"since": *since, "until": *until} {
					if text == "" {
						continue
					}
					at, err := parseTime("--"+key, text)
					if err != nil {
						return err
					}
					bounds.Set(key, at)
				}
				return a.events(ctx, project, bounds, func(e engineEvent) error {
					if len(services) > 0 && !slices.Contains(services, e.service()) || e.Actor.Attributes[compose.LabelOneoff] == "True" {
						return nil
					}
					return a.printEvent(e, *asJSON)
				})
			}
		},
	}
}

func (a *app) printEvent(e engineEvent, asJSON bool) error {
	if asJSON {
		return printJSON(a.Out, map[string]any{
			"time": e.at(), "type": "container", "service": e.service(), "id": e.Actor.ID, "action": e.Action, "attributes": e.own(),
		})
	}
	var attrs []string
	own := e.own()
	for _, k := range slices.Sorted(maps.Keys(own)) {
		attrs = append(attrs, k+"="+own[k])
	}
	_, err := fmt.Fprintf(a.Out, "%s container %s %s (%s)\n", e.at().Format("2006-01-02 15:04:05.000000"), e.Action, e.Actor.ID, strings.Join(attrs, ", "))
	return err
}

// events hands each event of the project's containers to f until the stream,
// ctx or f ends it.
func (a *app) events(ctx context.Context, project string, bounds url.Values, f func(engineEvent) error) error {
	filters, err := json.Marshal(map[string][]string{"type": {"container"}, "label": {compose.LabelProject + "=" + project}})
	if err != nil {
		return err
	}
	bounds.Set("filters", string(filters))
	body, err := a.daemon.Do(ctx, "GET", "/events?"+bounds.Encode(), nil)
	if err != nil {
		return err
	}
	defer body.Close()
	stop := context.AfterFunc(ctx, func() { _ = body.Close() })
	defer stop()
	messages := client.NewMessages(body)
	for {
		var e engineEvent
		switch err := messages.Next(&e); {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return errs.New(errs.Unavailable, "the daemon went away: %w", err)
		}
		if err := f(e); err != nil {
			return err
		}
	}
}
