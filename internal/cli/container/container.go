// Package container holds the commands about containers, one file a verb.
package container

import (
	"context"
	"net/url"

	"lus/internal/cli/command"
	"lus/internal/cli/prune"
	"lus/internal/client"
)

// Commands are the verbs of `lus container`.
func Commands() []command.Command {
	return []command.Command{
		attachCommand(), commitCommand(), cpCommand(), createCommand(), diffCommand(), execCommand(), exportCommand(), inspectCommand(), killCommand(), logsCommand(), lsCommand(),
		pauseCommand(), portCommand(), prune.Command(prune.Containers()), renameCommand(), restartCommand(), rmCommand(), runCommand(), startCommand(),
		statsCommand(), stopCommand(), topCommand(), unpauseCommand(), updateCommand(), waitCommand(),
	}
}

// path is a container's path in the API.
func path(name, verb string) string {
	p := "/containers/" + url.PathEscape(name)
	if verb != "" {
		p += "/" + verb
	}
	return p
}

// post sends a request that answers with nothing.
func post(ctx context.Context, e *command.Env, path string, q url.Values) error {
	return e.Client.Call(ctx, client.Request{Method: "POST", Path: path, Query: q}, nil)
}

// details is what the commands read of GET /containers/ID/json.
type details struct {
	ID    string `json:"Id"`
	Name  string
	State struct {
		Status   string
		Running  bool
		Paused   bool
		ExitCode int
	}
	Config struct {
		Tty       bool
		OpenStdin bool
	}
	HostConfig struct {
		AutoRemove bool
	}
	NetworkSettings struct {
		Ports map[string][]struct{ HostIp, HostPort string }
	}
}

func inspect(ctx context.Context, e *command.Env, name string) (*details, error) {
	var d details
	err := e.Client.Call(ctx, client.Request{Method: "GET", Path: path(name, "json")}, &d)
	return &d, err
}
