package output

import (
	"encoding/json"
	"fmt"
	"io"

	"lus/internal/cli/command"
	"lus/internal/cli/terminal"
)

// Inspect prints the documents that get finds by name. One that is not found is
// an error at the end; the others are printed.
func Inspect(stdout, stderr io.Writer, format string, names []string, get func(name string) ([]byte, error)) error {
	if _, err := parse(format); err != nil {
		fmt.Fprintln(stderr, err)
		return command.ExitCode(64)
	}
	var docs []json.RawMessage
	var failed error
	for _, name := range names {
		data, err := get(name)
		if err != nil {
			fmt.Fprintln(stderr, terminal.Harmless(stderr, err.Error()))
			failed = command.ExitCode(1)
			continue
		}
		docs = append(docs, data)
	}
	if format != "" && len(docs) == 0 {
		return failed
	}
	if err := Objects(stdout, format, docs); err != nil {
		return err
	}
	return failed
}
