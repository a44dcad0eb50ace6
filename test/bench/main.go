// The bench measures Lus, the kernel's floor (floor/floor.c) and docker, where
// one answers, side by side in one run, and prints medians, ratios and goals.
//
//	go run ./test/bench -n 50 -only run,exec -md table.md -json table.json
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

func main() {
	if err := bench(os.Args[1:], os.Stdout, os.Stderr); err != nil {
		if !errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(os.Stderr, "bench:", err)
		}
		os.Exit(1)
	}
}

func bench(args []string, stdout, stderr io.Writer) error {
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.SetOutput(stderr)
	samples := f.Int("n", 30, "samples of the short rows")
	only := f.String("only", "", "only rows whose name contains one of these `words`, separated by commas")
	markdown := f.String("md", "", "write the table to this `file` as markdown")
	asJSON := f.String("json", "", "write all samples to this `file`")
	if err := f.Parse(args); err != nil {
		return err
	}
	if os.Geteuid() != 0 {
		return errors.New("containers need root: sudo make bench")
	}

	machine := look()
	if machine.Load > 0.5 {
		fmt.Fprintf(stderr, "bench: the load is %.2f: these figures are of a busy machine\n", machine.Load)
	}
	b, err := prepare(*samples)
	if err != nil {
		return err
	}
	defer b.close()

	report := report{Machine: machine, Sides: b.names()}
	for _, group := range b.groups() {
		if !wanted(group.name, *only) {
			continue
		}
		begin := time.Now()
		rows, err := group.measure()
		if err != nil {
			return fmt.Errorf("%s: %w", group.name, err)
		}
		fmt.Fprintf(stderr, "bench: %-40s %6.1f s\n", group.name, time.Since(begin).Seconds())
		report.Rows = append(report.Rows, rows...)
	}
	return report.write(stdout, *markdown, *asJSON)
}

func wanted(name, only string) bool {
	if only == "" {
		return true
	}
	for word := range strings.SplitSeq(only, ",") {
		if strings.Contains(name, word) {
			return true
		}
	}
	return false
}
