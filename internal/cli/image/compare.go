package image

import (
	"archive/tar"
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/docker/go-units"
	"github.com/spf13/pflag"

	"lus/internal/base/errs"
	"lus/internal/cli/command"
	"lus/internal/cli/image/internal/rpmdb"
	"lus/internal/cli/interrupt"
	"lus/internal/cli/output"
	"lus/internal/client"
)

// compared is one image and what was found of it.
type compared struct {
	name     string
	ID       string `json:"Id"`
	Size     int64
	Created  time.Time
	Config   struct{ Cmd, Entrypoint []string }
	RootFS   struct{ Layers []string }
	shared   int
	database string // dpkg, apk or rpm; empty: none
	packages []string
	counted  bool          // what the data base has could be read
	start    time.Duration // 0: not measured
}

func compareCommand() command.Command {
	return command.Command{
		Name: "compare", Args: "IMAGE IMAGE [IMAGE...]", Short: "Compare images: size, layers, packages and start time",
		Example: "image compare debian:bookworm-slim busybox", Min: 2, Max: -1,
		Flags: func(e *command.Env, f *pflag.FlagSet) command.Do {
			format := f.String("format", "", "Print by a Go template, table or json")
			starts := f.Int("starts", 3, "How often to start each image's own command, without a network, for the median; 0: not at all")
			return func(ctx context.Context, args []string) error {
				if *starts < 0 || *starts > 100 {
					return errs.New(errs.Invalid, "--starts takes 0 to 100, not %d", *starts)
				}
				images := make([]*compared, len(args))
				for i, name := range args {
					var err error
					if images[i], err = examine(ctx, e, name, *starts); err != nil {
						return err
					}
				}
				rows := make([]comparedRow, len(images))
				for i, c := range images {
					c.shared = common(images[0].RootFS.Layers, c.RootFS.Layers)
					rows[i] = comparedRow{c}
				}
				return output.List(e.Out, *format, "{{.Image}}\t{{.ID}}\t{{.Size}}\t{{.Layers}}\t{{.Shared}}\t{{.Packages}}\t{{.Start}}",
					output.Headers{"Image": "IMAGE", "ID": "IMAGE ID", "Size": "SIZE", "Layers": "LAYERS", "Shared": "SHARED WITH FIRST", "Packages": "PACKAGES", "Start": "START", "PackageList": "PACKAGE LIST"}, rows)
			}
		},
	}
}

// common counts the layers that two images begin with.
func common(a, b []string) int {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}

// examine looks at one image. Its files are read through a container that is
// never started.
func examine(ctx context.Context, e *command.Env, name string, starts int) (*compared, error) {
	c := &compared{name: name}
	if err := e.Client.Call(ctx, client.Request{Method: "GET", Path: path(name, "json")}, c); err != nil {
		return nil, err
	}
	if len(c.RootFS.Layers) == 0 {
		return c, nil // nothing to read or to start
	}
	err := within(ctx, e, c, func(id string) error { return c.readPackages(ctx, e, id) })
	if err != nil {
		return nil, err
	}
	var times []time.Duration
	for range starts {
		if len(c.Config.Cmd)+len(c.Config.Entrypoint) == 0 {
			break // the image names no command
		}
		err := within(ctx, e, c, func(id string) error {
			begin := time.Now()
			err := e.Client.Call(ctx, client.Request{Method: "POST", Path: "/containers/" + id + "/start"}, nil)
			times = append(times, time.Since(begin))
			return err
		})
		if err != nil {
			return nil, errs.New(errs.Conflict, "%s cannot be started: %w; compare without it by --starts 0", name, err)
		}
	}
	if len(times) > 0 {
		slices.Sort(times)
		c.start = times[len(times)/2]
	}
	return c, nil
}

// within makes a container of the image for as long as do takes.
func within(ctx context.Context, e *command.Env, c *compared, do func(id string) error) error {
	req := map[string]any{"Image": c.ID, "HostConfig": map[string]any{"NetworkMode": "none"}}
	if len(c.Config.Cmd)+len(c.Config.Entrypoint) == 0 {
		req["Cmd"] = []string{"true"}
	}
	var made struct {
		ID string `json:"Id"`
	}
	err := e.Client.Call(ctx, client.Request{Method: "POST", Path: "/containers/create", Body: req}, &made)
	if err != nil {
		return err
	}
	remove := func() error {
		q := url.Values{"force": {"1"}, "v": {"1"}}
		return e.Client.Call(ctx, client.Request{Method: "DELETE", Path: "/containers/" + made.ID, Query: q}, nil)
	}
	done := interrupt.Undo(func() { _ = remove() })
	err = do(made.ID)
	done()
	return errors.Join(err, remove())
}

// readPackages looks for the data bases of package managers.
func (c *compared) readPackages(ctx context.Context, e *command.Env, id string) error {
	for _, db := range []struct {
		kind, path, name string
	}{
		{"dpkg", "/var/lib/dpkg/status", "Package: "},
		{"dpkg", "/var/lib/dpkg/status.d/", "Package: "}, // images without a package manager in them
		{"apk", "/lib/apk/db/installed", "P:"},
		{"apk", "/usr/lib/apk/db/installed", "P:"},
		{"rpm", "/var/lib/rpm/rpmdb.sqlite", ""},
		{"rpm", "/usr/lib/sysimage/rpm/rpmdb.sqlite", ""},
		{"rpm", "/var/lib/rpm/Packages", ""},
		{"rpm", "/var/lib/rpm/Packages.db", ""},
		{"rpm", "/usr/lib/sysimage/rpm/Packages.db", ""},
		{"rpm", "/usr/lib/sysimage/rpm/Packages", ""},
	} {
		resp, err := e.Client.Send(ctx, client.Request{Method: "GET", Path: "/containers/" + id + "/archive", Query: url.Values{"path": {db.path}}})
		if errs.Is(err, errs.NotFound) || errs.Is(err, errs.Invalid) {
			continue // none, or something else under that name
		}
		if err != nil {
			return err
		}
		c.database, c.counted = db.kind, true
		switch {
		case db.name != "":
			c.packages, err = packagesIn(resp.Body, db.name)
		default:
			c.packages, err = rpmPackages(resp.Body)
			if errs.Is(err, errs.Invalid) || errs.Is(err, errs.Unsupported) {
				c.counted, err = false, nil // the rest can be compared
			}
		}
		resp.Body.Close()
		return err
	}
	return nil
}

// maxRPM bounds an rpm database, in bytes: that of a whole desktop has some 100 MB.
const maxRPM = 256 << 20

// rpmPackages are the names of the packages in the database in a tar.
func rpmPackages(r io.Reader) ([]string, error) {
	t := tar.NewReader(r)
	h, err := t.Next()
	if err != nil {
		return nil, errs.New(errs.Unavailable, "the rpm database broke off: %w", err)
	}
	if h.Size > maxRPM {
		return nil, errs.New(errs.Unsupported, "the rpm database has %s; up to %s are read", units.BytesSize(float64(h.Size)), units.BytesSize(maxRPM))
	}
	data, err := io.ReadAll(t)
	if err != nil {
		return nil, errs.New(errs.Unavailable, "the rpm database broke off: %w", err)
	}
	return rpmdb.Names(data)
}

// packagesIn are the names of the packages in the files of a tar: the rest of
// each line that begins with prefix. Those that dpkg removed, and of which only
// settings are left, do not count.
func packagesIn(r io.Reader, prefix string) ([]string, error) {
	t := tar.NewReader(r)
	var out []string
	for {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			slices.Sort(out)
			return slices.Compact(out), nil
		}
		if err != nil {
			return nil, errs.New(errs.Unavailable, "the list of packages broke off: %w", err)
		}
		if h.Typeflag != tar.TypeReg || strings.HasSuffix(h.Name, ".md5sums") {
			continue
		}
		lines := bufio.NewScanner(t)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			if name, ok := strings.CutPrefix(lines.Text(), prefix); ok {
				out = append(out, name)
			}
			if s, ok := strings.CutPrefix(lines.Text(), "Status: "); ok && !strings.HasSuffix(s, " installed") && len(out) > 0 {
				out = out[:len(out)-1]
			}
		}
		if err := lines.Err(); err != nil {
			return nil, errs.New(errs.Invalid, "the list of packages in %s cannot be read: %w", h.Name, err)
		}
	}
}

// comparedRow is one image; its methods are the fields of templates.
type comparedRow struct{ c *compared }

func (r comparedRow) Image() string { return r.c.name }

func (r comparedRow) ID() string { return shortID(r.c.ID, true) }

func (r comparedRow) Size() string { return units.HumanSizeWithPrecision(float64(r.c.Size), 3) }

func (r comparedRow) Layers() int { return len(r.c.RootFS.Layers) }

func (r comparedRow) Shared() int { return r.c.shared }

func (r comparedRow) Packages() string {
	switch {
	case r.c.database == "":
		return "none"
	case !r.c.counted:
		return r.c.database + ", not counted"
	}
	return fmt.Sprintf("%d %s", len(r.c.packages), r.c.database)
}

func (r comparedRow) PackageList() []string { return r.c.packages }

func (r comparedRow) Start() string {
	if r.c.start == 0 {
		return "-"
	}
	return fmt.Sprintf("%.1f ms", float64(r.c.start.Microseconds())/1000)
}
