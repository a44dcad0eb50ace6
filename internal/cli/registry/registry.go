// Package registry holds the commands about Lus's own registry, one file a verb.
package registry

import (
	"context"
	"net/url"

	"lus/internal/cli/command"
	"lus/internal/client"
)

// Commands are the verbs of `lus registry`.
func Commands() []command.Command {
	return []command.Command{caCommand(), disableCommand(), enableCommand(), gcCommand(), lsCommand(), quotaCommand(), rmCommand(), searchCommand(), statusCommand(), upstreamCommand()}
}

const path = "/lus/v1/registry/"

func call(ctx context.Context, e *command.Env, method, what string, query url.Values, body, answer any) error {
	return e.Client.Call(ctx, client.Request{Method: method, Path: path + what, Query: query, Body: body}, answer)
}
