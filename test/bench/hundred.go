package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// deepFile is a Compose file of 100 services with healthchecks in five layers:
// each of a layer waits until one of the layer before is healthy. level is a
// variable of the last one.
func deepFile(level string) string {
	var b strings.Builder
	b.WriteString("name: bench100\nservices:\n")
	const layers, each = 5, 20
	for l := range layers {
		for i := range each {
			fmt.Fprintf(&b, `  s%d-%d:
    image: busybox
    command: sleep 3600
    stop_signal: KILL
    healthcheck: {test: ["CMD", "true"], interval: 5s, start_period: 60s, start_interval: 100ms}
`, l, i)
			if l > 0 {
				fmt.Fprintf(&b, "    depends_on: {s%d-%d: {condition: service_healthy}}\n", l-1, i)
			}
			if l == layers-1 && i == each-1 {
				fmt.Fprintf(&b, "    environment: {LEVEL: %q}\n", level)
			}
		}
	}
	return b.String()
}

// composeHundred measures 100 services, healthy layer by layer, and one of them
// changed.
func (b *suite) composeHundred() ([]*row, error) {
	up := &row{Name: "`compose up -d`, 100 services with health conditions 5 deep", Unit: "ms", Goals: atMost(2500)}
	one := &row{Name: "one service of the 100 changed", Unit: "ms", Goals: atMost(300)}
	dir, err := os.MkdirTemp("", "lus-bench-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "compose.yaml")
	write := func(level string) error { return os.WriteFile(file, []byte(deepFile(level)), 0o644) }
	for range 3 {
		if err := b.each(func(s *side) error {
			if !s.compose {
				return nil
			}
			return first(write("info"),
				up.timed(s.name, only(s, "compose", "-f", file, "up", "-d")),
				write("debug"),
				one.timed(s.name, only(s, "compose", "-f", file, "up", "-d")),
				only(s, "compose", "-f", file, "down")())
		}); err != nil {
			return nil, err
		}
	}
	return []*row{up, one}, nil
}
