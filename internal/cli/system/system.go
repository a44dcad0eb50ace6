// Package system holds the commands about Lus as a whole, one file a verb.
package system

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/pflag"
	"golang.org/x/sys/unix"

	"lus/internal/base/errs"
	"lus/internal/cli/command"
	"lus/internal/client"
)

// Commands are the verbs of `lus system`.
func Commands() []command.Command {
	return []command.Command{dfCommand(), eventsCommand(), infoCommand(), pruneCommand(), stopCommand()}
}

// Others are the verbs without a noun.
func Others() []command.Command {
	return []command.Command{inspectCommand(), loginCommand(), logoutCommand(), versionCommand()}
}

func stopCommand() command.Command {
	return command.Command{
		Name: "stop", Short: "Stop the daemon; containers go on and the next daemon takes them over",
		Example: "system stop", Min: 0, Max: 0,
		Flags: func(e *command.Env, f *pflag.FlagSet) command.Do {
			patience := f.DurationP("timeout", "t", time.Minute, "How long to wait for its end")
			return func(ctx context.Context, _ []string) error {
				var info struct{ Pid int }
				err := e.Client.Existing().Call(ctx, client.Request{Method: "GET", Path: "/lus/v1/info"}, &info)
				if client.NoDaemon(err) {
					fmt.Fprintf(e.Err, "no daemon runs at %s\n", e.Client.Host())
					return nil
				}
				if err != nil {
					return err
				}
				running, err := countRunning(ctx, e)
				if err != nil {
					return err
				}
				if err := stopDaemon(e, info.Pid, *patience); err != nil {
					return err
				}
				switch {
				case running == 1:
					fmt.Fprintln(e.Err, "1 container runs on; the next daemon takes it over")
				case running > 1:
					fmt.Fprintf(e.Err, "%d containers run on; the next daemon takes them over\n", running)
				}
				return nil
			}
		},
	}
}

// countRunning is how many containers the daemon's end will leave running.
func countRunning(ctx context.Context, e *command.Env) (int, error) {
	var list []struct{}
	err := e.Client.Existing().Call(ctx, client.Request{Method: "GET", Path: "/containers/json"}, &list)
	return len(list), err
}

// stopDaemon asks the daemon to end and waits until it has. Its number is what
// it says itself: one that is elsewhere, behind a forwarded socket, must not have
// a process of this host ended.
func stopDaemon(e *command.Env, pid int, patience time.Duration) error {
	elsewhere := errs.New(errs.Unsupported, "the daemon at %s is not a process of this host: stop it where it runs", e.Client.Host())
	if pid <= 1 || e.Client.Socket() == "" {
		return elsewhere
	}
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return errs.New(errs.NotFound, "the daemon (pid %d) is gone: %w", pid, err)
	}
	defer unix.Close(fd)
	program, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
	if err != nil || filepath.Base(strings.TrimSuffix(program, " (deleted)")) != "lusd" {
		return elsewhere
	}
	if err := unix.PidfdSendSignal(fd, unix.SIGTERM, nil, 0); err != nil {
		return errs.New(errs.Denied, "the daemon (pid %d) cannot be stopped: %w", pid, err)
	}
	deadline := time.Now().Add(patience)
	for {
		left := time.Until(deadline)
		if left <= 0 {
			return errs.New(errs.Unavailable, "the daemon (pid %d) has not ended within %s", pid, patience)
		}
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(left.Milliseconds())+1)
		if n > 0 {
			return nil
		}
		if err != nil && err != unix.EINTR {
			return err
		}
	}
}
