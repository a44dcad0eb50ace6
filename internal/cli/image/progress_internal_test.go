package image

import (
	"math"
	"strings"
	"testing"

	"lus/internal/model/image"
)

func TestABarIsDrawnWhateverADaemonSays(t *testing.T) {
	t.Parallel()
	for want, d := range map[string]image.ProgressDetail{
		"[>" + strings.Repeat(" ", 30) + "]":                                {Current: 0, Total: 100},
		"[" + strings.Repeat("=", 15) + ">" + strings.Repeat(" ", 15) + "]": {Current: 50, Total: 100},
		"[" + strings.Repeat("=", 30) + ">]":                                {Current: math.MaxInt64, Total: math.MaxInt64},
		"[>" + strings.Repeat(" ", 30) + "] ":                               {Current: -5, Total: 10},
		"120B":                                                              {Current: 120, Total: 100},
		"7B":                                                                {Current: 7},
	} {
		if got := bar(&d); !strings.HasPrefix(got, want) {
			t.Errorf("%+v: %q, want %q", d, got, want)
		}
	}
}
