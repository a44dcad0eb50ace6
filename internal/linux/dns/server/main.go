package server

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"syscall"
)

// inherited is the descriptor by which a detached server gets its socket.
const inherited = 3

// Main is the program: lus-dns --run DIR listens on DIR/dns.sock. With
// --detach it goes on as a process that is nobody's child.
func Main(args []string, stderr io.Writer) int {
	flags := flag.NewFlagSet("lus-dns", flag.ContinueOnError)
	flags.SetOutput(stderr)
	run := flags.String("run", "", "the folder for dns.sock")
	detach := flags.Bool("detach", false, "go on in the background")
	passed := flags.Bool("inherited", false, "the socket is descriptor 3")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	if *run == "" || flags.NArg() > 0 {
		fmt.Fprintln(stderr, "lus-dns: usage: lus-dns --run DIR [--detach]")
		return 2
	}
	if err := start(*run, *detach, *passed, stderr); err != nil {
		fmt.Fprintln(stderr, "lus-dns:", err)
		return 1
	}
	return 0
}

func start(run string, detach, passed bool, stderr io.Writer) error {
	if !passed {
		l, err := listen(filepath.Join(run, "dns.sock"))
		if err != nil {
			return err
		}
		if detach {
			return background(l, run)
		}
		return serve(l, stderr)
	}
	f := os.NewFile(inherited, "dns.sock")
	l, err := net.FileListener(f)
	_ = f.Close()
	if err != nil {
		return err
	}
	ul, ok := l.(*net.UnixListener)
	if !ok {
		return fmt.Errorf("descriptor %d is a %T", inherited, l)
	}
	return serve(ul, stderr)
}

// listen takes the socket's path, also from a server that has died.
func listen(path string) (*net.UnixListener, error) {
	if c, err := net.Dial("unix", path); err == nil {
		_ = c.Close()
		return nil, fmt.Errorf("another lus-dns serves %s", path)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	old := syscall.Umask(0o177)
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	syscall.Umask(old)
	if err != nil {
		return nil, err
	}
	l.SetUnlinkOnClose(false)
	return l, nil
}

// background starts this program again with the socket, in a session of its
// own, without folder, environment and terminal of the caller.
func background(l *net.UnixListener, run string) error {
	sock, err := l.File()
	if err != nil {
		return err
	}
	defer sock.Close()
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer null.Close()
	logFile, err := os.OpenFile(filepath.Join(run, "dns.log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	defer logFile.Close()
	p, err := os.StartProcess("/proc/self/exe", []string{"lus-dns", "--run", run, "--inherited"}, &os.ProcAttr{
		Dir: "/", Env: []string{}, Files: []*os.File{null, null, logFile, sock},
		Sys: &syscall.SysProcAttr{Setsid: true},
	})
	if err != nil {
		return err
	}
	return p.Release()
}

func serve(l *net.UnixListener, stderr io.Writer) error {
	// A small heap that is kept small: the questions of many containers leave
	// little behind.
	debug.SetGCPercent(50)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	signal.Ignore(syscall.SIGHUP, syscall.SIGPIPE)
	// The path goes before the socket does: afterwards it may be another's.
	l.SetUnlinkOnClose(true)
	defer l.Close()
	return New(slog.New(slog.NewTextHandler(stderr, nil))).Run(ctx, l)
}
