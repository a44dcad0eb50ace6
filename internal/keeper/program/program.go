// Package program is what lus-keeper does with its command line: it serves,
// starts a keeper that does (detached from whoever asks), or checks whether it
// could take over from another.
package program

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"syscall"

	"lus/internal/base/layout"
	"lus/internal/keeper"
	initproc "lus/internal/linux/init"
)

// options are the flags.
type options struct {
	run, root string
	detach    bool
	ready     int
	resume    int
	check     int
}

// Main runs lus-keeper and returns its exit code.
func Main(args []string, stderr io.Writer) int {
	var o options
	f := flag.NewFlagSet("lus-keeper", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.StringVar(&o.run, "run", "", "folder of the socket and the start records (default derived from --root)")
	f.StringVar(&o.root, "root", "", "state folder of the instance (default "+layout.DefaultRoot+")")
	f.BoolVar(&o.detach, "detach", false, "start a keeper in the background and return once it serves")
	f.IntVar(&o.ready, "ready", -1, "descriptor to write to once requests are accepted")
	f.IntVar(&o.resume, "resume", -1, "descriptor with the state of the keeper to take over from")
	f.IntVar(&o.check, "check", -1, "descriptor with a state; only report whether it could be taken over")
	if err := f.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return 0
		}
		return 2
	}
	if f.NArg() > 0 {
		fmt.Fprintf(stderr, "lus-keeper takes no arguments, only flags: %q\n", f.Args())
		return 2
	}
	if err := run(o, stderr); err != nil {
		fmt.Fprintf(stderr, "lus-keeper: %v\n", err)
		return 1
	}
	return 0
}

func run(o options, stderr io.Writer) error {
	where := layout.Resolve(o.root, o.run)
	switch {
	case o.check >= 0:
		return keeper.Check(o.check)
	case o.detach:
		return detach(where)
	}
	code, err := initproc.Open()
	if err != nil {
		return err
	}
	defer code.Close()
	return keeper.Run(keeper.Config{
		Layout: where,
		Init:   code,
		Log:    slog.New(slog.NewTextHandler(stderr, nil)),
		Resume: o.resume,
		Ready: func() {
			if o.ready >= 0 {
				_, _ = syscall.Write(o.ready, []byte("ready\n"))
				_ = syscall.Close(o.ready)
			}
		},
	})
}

// detach starts this program again, in a session of its own, with nothing of
// its caller's but the log, and waits until it serves.
func detach(where layout.Layout) error {
	if err := os.MkdirAll(where.Run, 0o711); err != nil {
		return err
	}
	logPath := filepath.Join(where.Run, "keeper.log")
	log, err := os.OpenFile(logPath, os.O_WRONLY|os.O_CREATE|os.O_APPEND|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer null.Close()
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer r.Close()
	self, err := os.Executable()
	if err != nil {
		return err
	}
	const readyFD = 3
	p, err := os.StartProcess(self, []string{self, "--run", where.Run, "--root", where.Root, "--ready", strconv.Itoa(readyFD)}, &os.ProcAttr{
		Dir: "/", Env: keeper.Environment(), Files: []*os.File{null, log, log, w}, Sys: &syscall.SysProcAttr{Setsid: true},
	})
	w.Close()
	if err != nil {
		return err
	}
	line, err := bufio.NewReader(r).ReadString('\n')
	if err != nil || line != "ready\n" {
		state, _ := p.Wait()
		return fmt.Errorf("the keeper did not start (%v): see %s", state, logPath)
	}
	return p.Release()
}
