package report

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"

	gatewayapi "github.com/moby/buildkit/frontend/gateway/pb"
	buildkiterrs "github.com/moby/buildkit/solver/errdefs"
	"github.com/moby/buildkit/solver/pb"

	"lus/internal/base/errs"
	"lus/internal/base/stall"
)

// around is how many lines are shown before and after the one at fault.
const around = 2

// lastOutput is how many lines of a failing step's output are shown.
const lastOutput = 10

// Explain turns an error of the solver into one for people.
func (r *Watch) Explain(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("the build was cancelled: %w", context.Cause(ctx))
	}
	src := source(err)
	if src == nil {
		src = r.Facts.find(plain(err))
	}
	kind, text, hint := r.Facts.reason(err, src)
	lines := r.lastLines(lastOutput)
	if DiskFull(err) || noSpace(strings.Join(lines, "\n")) {
		kind, hint = errs.Unavailable, "a disk is full; where it is the image store's, remove images or containers, or move the store with --root"
	}
	var b strings.Builder
	if src != nil {
		fmt.Fprintf(&b, "%s:%d: ", src.Info.Filename, src.Ranges[0].Start.Line)
	}
	b.WriteString(text)
	if src != nil {
		b.WriteString("\n\n")
		excerpt(&b, src)
	}
	var exit *gatewayapi.ExitError
	if errors.As(err, &exit) && len(lines) > 0 {
		b.WriteString("\nthe step's last output:\n")
		for _, l := range lines {
			fmt.Fprintf(&b, "    %s\n", l)
		}
	}
	if hint != "" {
		fmt.Fprintf(&b, "\nhint: %s\n", hint)
	}
	return &errs.Error{Kind: kind, Msg: strings.TrimRight(b.String(), "\n"), Err: err}
}

// DiskFull reports whether err is that of a full disk or quota.
func DiskFull(err error) bool {
	return err != nil && (errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || noSpace(err.Error()))
}

// noSpace finds the C library's and Go's words for a full disk.
func noSpace(text string) bool {
	return strings.Contains(strings.ToLower(text), "no space left on device")
}

// source is the place in the Dockerfile that the error is about, the innermost
// where there are several.
func source(err error) *buildkiterrs.Source {
	for _, s := range buildkiterrs.Sources(err) {
		if s.Info != nil && len(s.Ranges) > 0 && s.Ranges[0].GetStart().GetLine() > 0 {
			return s
		}
	}
	return nil
}

// mostLines bounds what is shown of the lines at fault and looked at of their
// ranges: a frontend that is an image may name any.
const mostLines = 200

// span are the first and the last line of a range.
func span(r *pb.Range) (first, last int) {
	first = int(r.GetStart().GetLine())
	return first, max(first, int(r.GetEnd().GetLine()))
}

// excerpt shows the lines at fault, marked, with those around them.
func excerpt(b *strings.Builder, s *buildkiterrs.Source) {
	lines := strings.Split(string(s.Info.Data), "\n")
	ranges := s.Ranges[:min(len(s.Ranges), mostLines)]
	first, last := span(ranges[0])
	for _, r := range ranges {
		from, to := span(r)
		first, last = min(first, from), max(last, to)
	}
	first = max(1, first-around)
	for n := first; n <= min(len(lines), last+around, first+mostLines); n++ {
		mark := " "
		if slices.ContainsFunc(ranges, func(r *pb.Range) bool { from, to := span(r); return from <= n && n <= to }) {
			mark = ">"
		}
		if n == len(lines) && lines[n-1] == "" {
			continue
		}
		fmt.Fprintf(b, " %s %3d | %s\n", mark, n, strings.TrimRight(lines[n-1], "\r"))
	}
}

// reason is the error's kind, its text without what only BuildKit's makers
// need, and what can be done.
func (f Facts) reason(err error, src *buildkiterrs.Source) (errs.Kind, string, string) {
	text := plain(err)
	if strings.Contains(text, "exec format error") {
		return errs.Invalid, processText(text), f.platformHint()
	}
	var exit *gatewayapi.ExitError
	if errors.As(err, &exit) {
		return exitReason(text, exit)
	}
	if name := missingSource(text); name != "" {
		where := "the build context"
		if from := copyFrom(src); from != "" {
			where = from
		}
		return errs.Invalid, fmt.Sprintf("%q is not in %s", name, where), f.missingHint(name, src)
	}
	if strings.Contains(text, "failed to resolve source metadata") || strings.Contains(text, "pull access denied") {
		kind, text, hint := baseImage(err, text)
		if near := nearStage(imageOf(plain(err)), src); near != "" {
			hint = fmt.Sprintf("did you mean the stage %s? (it is taken for an image's name)", near)
		}
		return kind, text, hint
	}
	if strings.Contains(text, "security.insecure is not allowed") || strings.Contains(text, "network.host is not allowed") {
		return errs.Denied, strings.TrimPrefix(text, "failed to load LLB: "), privilegeHint(text)
	}
	if strings.Contains(text, deviceRefused) {
		text = strings.TrimPrefix(text, "failed to load LLB: ")
		return errs.Denied, text, "a step has a device where the build allows it: --allow device=" + between(text, "device ", deviceRefused)
	}
	if missing := missingInStage(text, src); missing != "" {
		return errs.Invalid, missing, "look what the steps of that stage make; paths are those of its root"
	}
	for _, inside := range []string{"failed to load cache key: ", "failed to compute cache key: "} {
		text = strings.ReplaceAll(text, inside, "")
	}
	if stalled(text) {
		return errs.Unavailable, text, "a server stopped sending: try again, or take it from elsewhere"
	}
	if strings.Contains(text, "did not complete successfully") {
		text = processText(text)
	}
	if kind := errs.KindOf(err); kind != errs.Internal {
		return kind, text, hintOf(text)
	}
	if src != nil || dockerfileFault(text) {
		return errs.Invalid, text, hintOf(text)
	}
	return errs.Internal, text, ""
}

// stalled tells of a server that stood still, in our words or git's.
func stalled(text string) bool {
	return strings.Contains(text, stall.Err.Error()) || strings.Contains(text, "Operation too slow")
}

// deviceRefused follows a device's name.
const deviceRefused = " is requested by the build but not allowed"

// dockerfileFault tells faults of the Dockerfile that BuildKit gives no place for.
func dockerfileFault(text string) bool {
	for _, s := range []string{"dockerfile parse error", "file with no instructions", "target stage", "contains no stages", "escape token", "failed to read dockerfile", "the Dockerfile", "invalid stage", "failed to parse", "invalid "} {
		if strings.Contains(text, s) {
			return true
		}
	}
	return false
}

// privilegeHint says how a step gets what it asks for.
func privilegeHint(text string) string {
	if strings.Contains(text, "network.host") {
		return "a step has the host's network where the build allows it: --allow network.host, or --network host for all steps"
	}
	return "a step has all privileges where the build allows it (--allow security.insecure) and the daemon too (lusd --build-allow network.host,security.insecure)"
}

func exitReason(text string, exit *gatewayapi.ExitError) (errs.Kind, string, string) {
	command := between(text, `process "`, `" did not complete successfully`)
	if command == "" {
		command = "the step"
	}
	if exit.ExitCode == gatewayapi.UnknownExitStatus {
		return errs.Invalid, fmt.Sprintf("%s did not run: %v", command, exit.Err), ""
	}
	text = fmt.Sprintf("%s failed with exit code %d", command, exit.ExitCode)
	if exit.Err != nil {
		text += ": " + exit.Err.Error()
	}
	switch {
	case exit.ExitCode == 127 && strings.Contains(text, `"/bin/sh": stat /bin/sh`):
		return errs.Invalid, text, `the image has no shell: name a program that it has, as in RUN ["/program"], or begin from an image with one`
	case exit.ExitCode == 127:
		return errs.Invalid, text, "the command was not found: install it in an earlier step, or look at its spelling"
	case exit.ExitCode == 126:
		return errs.Invalid, text, "the command was found and may not be run: look at its mode (COPY --chmod=755)"
	case exit.ExitCode == 137 && exit.Err == nil:
		return errs.Invalid, text, "the step was killed from outside, perhaps because the machine ran out of memory"
	}
	return errs.Invalid, text, ""
}

// imageOf is the name of the image that an error is about, as people write it.
func imageOf(text string) string {
	name := strings.TrimSuffix(between(text, "metadata for ", " "), ":")
	return strings.TrimPrefix(strings.TrimPrefix(name, "docker.io/library/"), "docker.io/")
}

// processText is the error of a program that could not be run.
func processText(text string) string {
	if command := between(text, `process "`, `" did not complete successfully`); command != "" {
		return command + " did not run: " + after(text, "did not complete successfully: ")
	}
	return text
}

// plain strips the layers of wrapping that say only how BuildKit is built.
func plain(err error) string {
	text := err.Error()
	for _, p := range []string{"failed to solve: ", "rpc error: code = Unknown desc = "} {
		text = strings.ReplaceAll(text, p, "")
	}
	if strings.HasPrefix(text, "dockerfile parse error on line ") {
		text = after(text, ": ") // the line is told with the file's name
	}
	return text
}

// missingSource is the path of a COPY or ADD that the context does not have.
func missingSource(text string) string {
	rest, ok := strings.CutSuffix(text, `": not found`)
	if !ok || !strings.Contains(text, "checksum") {
		return ""
	}
	return rest[strings.LastIndexByte(rest, '"')+1:]
}

// between is what stands between two texts, the first time.
func between(text, open, end string) string {
	_, rest, ok := strings.Cut(text, open)
	if !ok {
		return ""
	}
	inner, _, ok := strings.Cut(rest, end)
	if !ok {
		return ""
	}
	return inner
}

// after is what follows sep, the whole where there is none.
func after(text, sep string) string {
	if _, rest, ok := strings.Cut(text, sep); ok {
		return rest
	}
	return text
}
