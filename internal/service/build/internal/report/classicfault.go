package report

import (
	"context"
	"errors"
	"fmt"
	"strings"

	gatewayapi "github.com/moby/buildkit/frontend/gateway/pb"

	"lus/internal/base/errs"
	"lus/internal/model/build"
)

// ExplainClassic turns an error of the solver into the one that the classic
// builder gave, where it had words for it that programs know.
func (r *Watch) ExplainClassic(ctx context.Context, err error) error {
	explained := r.Explain(ctx, err)
	if ctx.Err() != nil {
		return explained
	}
	text := plain(err)
	var exit *gatewayapi.ExitError
	if errors.As(err, &exit) && exit.ExitCode != gatewayapi.UnknownExitStatus && exit.Err == nil {
		command := between(text, `process "`, `" did not complete successfully`)
		return &build.ExitError{Command: command, Code: int(exit.ExitCode), Err: explained}
	}
	if name := missingSource(text); name != "" {
		name = strings.TrimPrefix(name, "/")
		return &errs.Error{Kind: errs.Invalid, Err: explained, Msg: fmt.Sprintf(
			"%s failed: file not found in build context or excluded by .dockerignore: stat %s: file does not exist", instruction(err), name)}
	}
	return explained
}

// instruction is the name of the instruction at fault: COPY or ADD.
func instruction(err error) string {
	src := source(err)
	if src == nil {
		return "COPY"
	}
	lines := strings.Split(string(src.Info.Data), "\n")
	n := int(src.Ranges[0].Start.Line)
	if n > len(lines) {
		return "COPY"
	}
	word, _, _ := strings.Cut(strings.TrimSpace(lines[n-1]), " ")
	return strings.ToUpper(word)
}
