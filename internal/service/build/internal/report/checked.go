package report

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/moby/buildkit/frontend/subrequests/lint"

	"lus/internal/base/errs"
)

// Checked is the text for people of what a check of a Dockerfile found.
func Checked(answer string) (string, error) {
	var found lint.LintResults
	if err := json.Unmarshal([]byte(answer), &found); err != nil {
		return "", errs.New(errs.Internal, "the frontend's answer to a check: %w", err)
	}
	var b strings.Builder
	switch n := len(found.Warnings); {
	case found.Error != nil && n == 0:
	case n == 0:
		b.WriteString("Check complete, no warnings found.\n")
	case n == 1:
		b.WriteString("Check complete, 1 warning has been found!\n")
	default:
		fmt.Fprintf(&b, "Check complete, %d warnings have been found!\n", n)
	}
	if err := found.PrintTo(&b, nil); err != nil {
		return "", errs.New(errs.Internal, "telling what a check found: %w", err)
	}
	if found.Error != nil {
		b.WriteString("\n")
		found.PrintErrorTo(&b, nil)
	}
	return b.String(), nil
}
