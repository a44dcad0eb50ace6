package container

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"lus/internal/cli/command"
	"lus/internal/cli/terminal"
	"lus/internal/client"
)

func stopCommand() command.Command {
	return command.Command{
		Name: "stop", Args: "CONTAINER [CONTAINER...]", Short: "Stop containers: a signal, and a kill where that does not help in time",
		Example: "stop -t 30 web", Min: 1, Max: -1,
		Flags: func(e *command.Env, f *pflag.FlagSet) command.Do { return stopping(e, f, "stop") },
	}
}

func restartCommand() command.Command {
	return command.Command{
		Name: "restart", Args: "CONTAINER [CONTAINER...]", Short: "Stop containers and start them again",
		Example: "restart web", Min: 1, Max: -1,
		Flags: func(e *command.Env, f *pflag.FlagSet) command.Do { return stopping(e, f, "restart") },
	}
}

// stopping is what stop and restart share.
func stopping(e *command.Env, f *pflag.FlagSet, verb string) command.Do {
	signal := f.StringP("signal", "s", "", "Signal to send instead of the container's own")
	timeout := f.IntP("timeout", "t", 0, "Seconds until the kill; -1 waits for ever (default the container's own, or 10)")
	f.IntVar(timeout, "time", 0, "Seconds until the kill")
	_ = f.MarkHidden("time")
	return func(ctx context.Context, args []string) error {
		q := url.Values{}
		if *signal != "" {
			q.Set("signal", *signal)
		}
		if f.Changed("timeout") || f.Changed("time") {
			q.Set("t", strconv.Itoa(*timeout))
		}
		return e.Each(args, func(name string) error { return halt(ctx, e, path(name, verb), q) })
	}
}

// halt is post that prints why a stop took all the time it was given.
func halt(ctx context.Context, e *command.Env, path string, q url.Values) error {
	resp, err := e.Client.Send(ctx, client.Request{Method: "POST", Path: path, Query: q})
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, resp.Body)
	err = errors.Join(err, resp.Body.Close())
	_, note, _ := strings.Cut(resp.Header["warning"], " lus ")
	if note, uerr := strconv.Unquote(note); uerr == nil {
		fmt.Fprintln(e.Err, "warning: "+terminal.Harmless(e.Err, note))
	}
	return err
}

func killCommand() command.Command {
	return command.Command{
		Name: "kill", Args: "CONTAINER [CONTAINER...]", Short: "Send a signal to containers: KILL where none is given",
		Example: "kill -s HUP web", Min: 1, Max: -1,
		Flags: func(e *command.Env, f *pflag.FlagSet) command.Do {
			signal := f.StringP("signal", "s", "", "Signal to send, by name or number")
			return func(ctx context.Context, args []string) error {
				q := url.Values{}
				if *signal != "" {
					q.Set("signal", *signal)
				}
				return e.Each(args, func(name string) error { return post(ctx, e, path(name, "kill"), q) })
			}
		},
	}
}

func pauseCommand() command.Command {
	return command.Command{
		Name: "pause", Args: "CONTAINER [CONTAINER...]", Short: "Freeze all processes of containers",
		Example: "pause web", Min: 1, Max: -1, Flags: each("pause"),
	}
}

func unpauseCommand() command.Command {
	return command.Command{
		Name: "unpause", Args: "CONTAINER [CONTAINER...]", Short: "Let frozen containers go on",
		Example: "unpause web", Min: 1, Max: -1, Flags: each("unpause"),
	}
}

// each is a verb without flags that is done to each container.
func each(verb string) func(*command.Env, *pflag.FlagSet) command.Do {
	return func(e *command.Env, _ *pflag.FlagSet) command.Do {
		return func(ctx context.Context, args []string) error {
			return e.Each(args, func(name string) error { return post(ctx, e, path(name, verb), nil) })
		}
	}
}
