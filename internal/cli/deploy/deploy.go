// Package deploy holds the commands about what was deployed: each `compose up`
// that changed something, what it changed, and the way back.
package deploy

import (
	"fmt"
	"strconv"

	"lus/internal/cli/command"
)

// Commands are the verbs of `lus deploy`.
func Commands() []command.Command {
	return []command.Command{diffCommand(), lsCommand(), rollbackCommand(), showCommand()}
}

const root = "/lus/v1/compose/deployments"

// number reads a deployment's number.
func number(s string) (int64, error) {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 1 {
		return 0, command.WrongFlag(fmt.Sprintf("%q is not the number of a deployment: `lus deploy ls` lists them", s), "")
	}
	return n, nil
}

func path(n int64, more string) string { return root + "/" + strconv.FormatInt(n, 10) + more }
