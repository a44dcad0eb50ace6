package main

import (
	"strings"
	"testing"
)

func TestTheTableShowsMediansRatiosAndVerdicts(t *testing.T) {
	r := report{Sides: []string{"lus", "floor", "docker"}, Rows: []*row{
		{Name: "run", Unit: "ms", Goal: 12, Floors: 3.5, Samples: map[string][]float64{"lus": {9, 11, 10}, "floor": {4, 4}, "docker": {280}}},
		{Name: "slow", Unit: "ms", Goal: 8, Samples: map[string][]float64{"lus": {9}}},
		{Name: "too many floors", Unit: "ms", Goal: 100, Floors: 2, Samples: map[string][]float64{"lus": {9}, "floor": {4}}},
		{Name: "no goal", Unit: "MB", Samples: map[string][]float64{"lus": {0.25}}},
	}}
	for i, want := range [][]string{
		{"medians", "lus", "floor", "docker", "goal"},
		{"---"},
		{"run", "10.0 ms", "4.0 ms", "2.5", "280 ms", "28.0", "12 ms and 3.5 floors", "holds"},
		{"slow", "9.0 ms", "8 ms", "MISSED"},
		{"too many floors", "MISSED"},
		{"no goal", "0.25 MB"},
	} {
		line := strings.Split(r.table(), "\n")[i]
		for _, w := range want {
			if !strings.Contains(line, w) {
				t.Errorf("line %d lacks %q: %s", i+1, w, line)
			}
		}
	}
}
