// The bench measures Lus, the kernel's floor (floor/floor.c) and the engines
// and runtimes that this machine has beside it (README.md), in turn in one run,
// and prints medians, ratios and goals.
//
//	go run ./test/bench -n 50 -only bridge,exec -md table.md -json table.json
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"
)

func main() {
	// A signal ends the run after the group at hand, and one from the terminal the
	// command at hand too; either way all that was made is taken away.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := bench(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		if !errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(os.Stderr, "bench:", err)
		}
		os.Exit(1)
	}
}

func bench(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.SetOutput(stderr)
	samples := f.Int("n", 30, "samples of the short rows")
	only := f.String("only", "", "measure only these `groups`, separated by commas: "+strings.Join(groupNames(), ", "))
	alone := f.Bool("alone", false, "leave out others that run containers here: what they do before a sample is felt in it")
	markdown := f.String("md", "", "write the table to this `file` as markdown")
	asJSON := f.String("json", "", "write all samples to this `file`")
	if err := f.Parse(args); err != nil {
		return err
	}
	chosen, err := choose(groupNames(), *only)
	if err != nil {
		return err
	}
	if os.Geteuid() != 0 {
		return errors.New("containers need root: sudo make bench")
	}

	machine := look()
	if machine.Load > 0.5 {
		fmt.Fprintf(stderr, "bench: the load is %.2f: these figures are of a busy machine\n", machine.Load)
	}
	b, err := prepare(*samples, *alone, stderr)
	if err != nil {
		return err
	}
	defer b.close()

	report := report{Machine: machine, Sides: b.names()}
	if report.Rows, err = b.run(ctx, chosen); err != nil {
		return err
	}
	return report.write(stdout, *markdown, *asJSON)
}

// run measures the chosen groups, one after the other.
func (b *suite) run(ctx context.Context, chosen []string) (all []*row, err error) {
	start := time.Now()
	for _, group := range b.groups() {
		if !slices.Contains(chosen, group.name) {
			continue
		}
		begin := time.Now()
		rows, err := group.measure()
		if err = errors.Join(ctx.Err(), err); err != nil {
			return nil, fmt.Errorf("%s: %w", group.name, err)
		}
		fmt.Fprintf(b.stderr, "bench: %-10s %6.1f s\n", group.name, time.Since(begin).Seconds())
		all = append(all, rows...)
	}
	fmt.Fprintf(b.stderr, "bench: %-10s %6.1f s\n", "all", time.Since(start).Seconds())
	return all, nil
}

func groupNames() (names []string) {
	for _, g := range (&suite{}).groups() {
		names = append(names, g.name)
	}
	return names
}

// choose picks the names that words separated by commas ask for; none asks for
// all.
func choose(names []string, words string) ([]string, error) {
	if words == "" {
		return names, nil
	}
	chosen := strings.Split(words, ",")
	for _, word := range chosen {
		if !slices.Contains(names, word) {
			return nil, fmt.Errorf("there is no group %q; write -only with any of %s", word, strings.Join(names, ","))
		}
	}
	return chosen, nil
}
