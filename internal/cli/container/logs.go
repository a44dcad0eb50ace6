package container

import (
	"context"
	"io"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"lus/internal/base/errs"
	"lus/internal/cli/command"
	"lus/internal/client"
)

func logsCommand() command.Command {
	return command.Command{
		Name: "logs", Args: "CONTAINER", Short: "Show a container's output",
		Example: "logs -f --tail 100 web", Min: 1, Max: 1,
		Flags: func(e *command.Env, f *pflag.FlagSet) command.Do {
			follow := f.BoolP("follow", "f", false, "Go on with what comes")
			since := f.String("since", "", "Only what is newer than a time, or than 10m ago")
			until := f.String("until", "", "Only what is older than a time, or than 10m ago")
			tail := f.StringP("tail", "n", "all", "Only so many lines from the end")
			stamps := f.BoolP("timestamps", "t", false, "Show the time of each line")
			details := f.Bool("details", false, "Show the labels and variables that --log-opt labels=... and env=... name")
			return func(ctx context.Context, args []string) error {
				q := url.Values{"stdout": {"1"}, "stderr": {"1"}, "tail": {*tail}}
				if *follow {
					q.Set("follow", "1")
				}
				if *stamps {
					q.Set("timestamps", "1")
				}
				if *details {
					q.Set("details", "1")
				}
				for key, text := range map[string]string{"since": *since, "until": *until} {
					if text == "" {
						continue
					}
					at, err := Moment(text, time.Now())
					if err != nil {
						return err
					}
					q.Set(key, at)
				}
				return logs(ctx, e, args[0], q)
			}
		},
	}
}

func logs(ctx context.Context, e *command.Env, name string, q url.Values) error {
	resp, err := e.Client.Send(ctx, client.Request{Method: "GET", Path: path(name, "logs"), Query: q})
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if strings.HasSuffix(resp.Header["content-type"], "multiplexed-stream") {
		return client.Demultiplex(e.Out, e.Err, resp.Body)
	}
	_, err = io.Copy(e.Out, resp.Body)
	return err
}

// Moment reads a time as people write it (a time, a day, seconds since 1970, or
// how long ago) and writes it as the API takes it.
func Moment(s string, now time.Time) (string, error) {
	if d, err := time.ParseDuration(s); err == nil {
		return stamp(now.Add(-d)), nil
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999", "2006-01-02T15:04", "2006-01-02T15", "2006-01-02", "2006-01-02Z07:00"} {
		if t, err := time.ParseInLocation(layout, s, time.Local); err == nil {
			return stamp(t), nil
		}
	}
	whole, fraction, _ := strings.Cut(s, ".")
	if _, err := strconv.ParseInt(whole, 10, 64); err == nil && strings.Trim(fraction, "0123456789") == "" {
		return s, nil
	}
	return "", errs.New(errs.Invalid, "invalid time %q: write 2013-01-02T13:23:37Z, 2013-01-02 or 10m (ten minutes ago)", s)
}

func stamp(t time.Time) string {
	return strconv.FormatInt(t.Unix(), 10) + "." + strings.TrimPrefix(strconv.FormatInt(1e9+int64(t.Nanosecond()), 10), "1")
}
