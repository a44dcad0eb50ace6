// Package daemon builds every part of Lus in order, joins them, runs them, and
// stops what started last first.
package daemon

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"github.com/sirupsen/logrus"
	"golang.org/x/sys/unix"

	"lus/internal/base/layout"
	"lus/internal/base/version"
	"lus/internal/linux/cdi"
	"lus/internal/service/image"
)

const usage = `Usage: lusd [OPTIONS]

The Lus daemon. It needs root. Containers go on when it ends; a new one takes
them over.

Example:
  lusd --root /srv/lus

Options:
`

// usualStall is how long a server may stand still where nobody says otherwise.
const usualStall = 30 * time.Second

// options are how the daemon is to be.
type options struct {
	layout layout.Layout
	log    *slog.Logger
	allow  []string // what builds may have beyond the usual
	// provenance is the folder of what stands in every provenance beside the build.
	provenance string
	// registries says how registries are reached where the defaults do not do.
	registries image.Registries
	// stall is how long a registry, or a server of files for builds, may send or
	// take nothing.
	stall time.Duration
	// devices are the folders of specifications of devices.
	devices []string
}

// Main parses args, runs the daemon until ctx ends, and returns the exit code:
// 0 after a clean stop, 1 where it could not start or run, 2 for a wrong call.
func Main(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	c := newCall(stderr)
	if err := c.flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return 0
		}
		return 2
	}
	if c.flags.NArg() > 0 {
		fmt.Fprintf(stderr, "lusd: unexpected argument %q\nSee 'lusd --help'.\n", c.flags.Arg(0))
		return 2
	}
	if c.version {
		fmt.Fprintln(stdout, "lusd "+version.String())
		return 0
	}
	if !c.debug {
		// What libraries say outside of any request, past our log, is detail.
		logrus.SetOutput(io.Discard)
	}
	o, err := c.options(logger(stderr, c.debug))
	if err == nil {
		err = serve(ctx, o)
	}
	if err != nil {
		fmt.Fprintf(stderr, "lusd: %v\n", err)
		return 1
	}
	return 0
}

// call is what the command line says.
type call struct {
	flags             *flag.FlagSet
	root, run, socket string
	file              string // of the configuration
	registries        image.Registries
	allow, provenance string
	debug, version    bool
}

func newCall(stderr io.Writer) *call {
	f := flag.NewFlagSet("lusd", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.Usage = func() {
		fmt.Fprint(stderr, usage)
		f.PrintDefaults()
	}
	c := &call{flags: f}
	f.StringVar(&c.root, "root", os.Getenv("LUS_ROOT"), "`folder` of all state (default "+layout.DefaultRoot+")")
	f.StringVar(&c.run, "run", os.Getenv("LUS_RUN"), "`folder` of sockets and start records (default "+layout.DefaultRun+", or one of its own for another root)")
	f.StringVar(&c.socket, "socket", "", "`path` of the unix socket (default lus.sock in the run folder)")
	f.StringVar(&c.file, "config", "", "`path` of the configuration file (default /etc/lus/daemon.json, or daemon.json in another root)")
	f.BoolVar(&c.debug, "debug", false, "log details")
	f.Func("registry-mirror", "`URL` that is asked for Docker Hub's images before Docker Hub; may be given more than once", func(url string) error {
		if c.registries.Mirrors == nil {
			c.registries.Mirrors = map[string][]string{}
		}
		c.registries.Mirrors["docker.io"] = append(c.registries.Mirrors["docker.io"], url)
		return nil
	})
	f.Func("insecure-registry", "`HOST` of a registry, or a network, that may go without TLS or a certificate that somebody vouches for; may be given more than once", func(host string) error {
		c.registries.Insecure = append(c.registries.Insecure, host)
		return nil
	})
	f.StringVar(&c.allow, "build-allow", "network.host", "what build steps may have when they and their client ask: network.host, security.insecure; `LIST` by commas")
	f.StringVar(&c.provenance, "build-provenance", "", "`folder` of *.json files whose fields stand in the provenance of every build, such as what this builder is")
	f.BoolVar(&c.version, "version", false, "print the version")
	return c
}

// options are the command line's and the configuration file's together.
func (c *call) options(log *slog.Logger) (options, error) {
	o := options{layout: layout.Resolve(c.root, c.run), log: log, provenance: c.provenance}
	o.layout.Sock = c.socket
	for _, a := range strings.Split(c.allow, ",") {
		if a != "" {
			o.allow = append(o.allow, a)
		}
	}
	path := c.file
	if path == "" {
		path = o.layout.Config()
	}
	file, err := readConfig(path, c.file != "")
	if err != nil {
		return o, err
	}
	o.registries = file.with(c.registries)
	o.stall = cmp.Or(time.Duration(file.Timeout), usualStall)
	o.devices = file.Devices
	if o.devices == nil {
		o.devices = cdi.Dirs()
	}
	return o, nil
}

func logger(w io.Writer, verbose bool) *slog.Logger {
	level := slog.LevelInfo
	if verbose {
		level = slog.LevelDebug
	}
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: level}))
}

// serve is one life of the daemon.
func serve(ctx context.Context, o options) error {
	// Small where it matters, which is at rest: then all that is free is given
	// back. While it works, a collection in the middle of a container's start
	// costs more than some megabytes for a second.
	debug.SetGCPercent(200)
	if os.Geteuid() != 0 {
		return errors.New("it needs root to make namespaces, mounts and networks: run it with sudo")
	}
	// Containers' users enter what it makes, whoever started it. What is for root alone
	// is made so.
	unix.Umask(0o022)
	lock, err := claim(o.layout)
	if err != nil {
		return err
	}
	defer lock.Close()
	ln, err := listen(o.layout)
	if err != nil {
		return err
	}
	d, err := assemble(ctx, o)
	if err != nil {
		_ = ln.Close()
		return err
	}
	return d.run(ctx, ln)
}
