package container

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/docker/go-units"
	"github.com/spf13/pflag"

	"lus/internal/base/errs"
	"lus/internal/cli/command"
	"lus/internal/cli/terminal"
	"lus/internal/client"
	"lus/internal/model/container"
)

// copying is one cp: what was asked for, and how much went through.
type copying struct {
	e       *command.Env
	name    string // the container
	follow  bool
	archive bool
	quiet   bool
	bytes   int64
}

func cpCommand() command.Command {
	return command.Command{
		Name: "cp", Args: "CONTAINER:SRC_PATH DEST_PATH|-\n        SRC_PATH|- CONTAINER:DEST_PATH", Short: "Copy files between a container and this machine; - is a tar on standard input or output",
		Example: "cp web:/etc/nginx/nginx.conf .", Min: 2, Max: 2,
		Flags: func(e *command.Env, f *pflag.FlagSet) command.Do {
			c := &copying{e: e}
			f.BoolVarP(&c.follow, "follow-link", "L", false, "Copy what a link at SRC_PATH leads to")
			f.BoolVarP(&c.archive, "archive", "a", false, "Give what is copied to the container's user")
			f.BoolVarP(&c.quiet, "quiet", "q", !terminal.Is(e.Err), "Do not tell how much was copied (default where nobody watches)")
			return func(ctx context.Context, args []string) error { return c.run(ctx, args[0], args[1]) }
		},
	}
}

func (c *copying) run(ctx context.Context, source, dest string) error {
	if source == "" {
		return errs.New(errs.Invalid, "source can not be empty")
	}
	if dest == "" {
		return errs.New(errs.Invalid, "destination can not be empty")
	}
	from, sourcePath := splitContainer(source)
	to, destPath := splitContainer(dest)
	switch {
	case from != "" && to != "":
		return errs.New(errs.Unsupported, "copying between containers is not supported")
	case from != "":
		c.name = from
		return c.out(ctx, sourcePath, destPath)
	case to != "":
		c.name = to
		return c.in(ctx, sourcePath, destPath)
	}
	return errs.New(errs.Invalid, "must specify at least one container source")
}

// splitContainer tells CONTAINER:PATH from a path of this machine, which may
// have a colon in it where it begins with a slash or a dot.
func splitContainer(arg string) (name, path string) {
	name, path, ok := strings.Cut(arg, ":")
	if !ok || filepath.IsAbs(arg) || strings.HasPrefix(name, ".") {
		return "", arg
	}
	return name, path
}

// stat asks for the facts of a path in the container; nil where there are none.
func (c *copying) stat(ctx context.Context, at string) (*container.PathStat, error) {
	resp, err := c.e.Client.Send(ctx, client.Request{Method: "HEAD", Path: path(c.name, "archive"), Query: url.Values{"path": {at}}})
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	return statOf(resp)
}

func statOf(resp *client.Response) (*container.PathStat, error) {
	var st container.PathStat
	data, err := base64.StdEncoding.DecodeString(resp.Header["x-docker-container-path-stat"])
	if err == nil {
		err = json.Unmarshal(data, &st)
	}
	if err != nil {
		return nil, errs.New(errs.Internal, "the daemon's facts about the path cannot be read: %w", err)
	}
	return &st, nil
}

// told says what was copied.
func (c *copying) told(to string) {
	if !c.quiet {
		fmt.Fprintln(c.e.Err, "Successfully copied", units.HumanSizeWithPrecision(float64(c.bytes), 3), "to", to)
	}
}

// counted counts what is read from r.
func (c *copying) counted(r io.Reader) io.Reader {
	return readerFunc(func(p []byte) (int, error) {
		n, err := r.Read(p)
		c.bytes += int64(n)
		return n, err
	})
}

type readerFunc func(p []byte) (int, error)

// Read calls the function.
func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// What a path may be and what becomes of it there.
var (
	errCannotCopyDir = errors.New("cannot copy directory")
	errNoDir         = errors.New("no such directory")
	errNotDir        = errors.New("not a directory")
)

// place is one end of a copy.
type place struct {
	path          string
	exists, isDir bool
}

// arrange says into which folder of the destination a source goes and what it
// is called there; an empty name means its own.
func arrange(base string, isDir bool, dest place) (folder, name string, err error) {
	dir, last := splitEntry(dest.path)
	switch {
	case dest.exists && dest.isDir:
		return dest.path, "", nil
	case dest.exists && isDir:
		return "", "", errCannotCopyDir
	case !dest.exists && !isDir && wantsDir(dest.path):
		return "", "", errNoDir
	}
	return dir, last, nil
}

// wantsDir reports whether a path can only be a folder's.
func wantsDir(p string) bool { return strings.HasSuffix(p, "/") || filepath.Base(p) == "." }

// splitEntry cuts a path in its folder and its last name, which is "." where the
// path asks for a folder's content.
func splitEntry(p string) (dir, base string) {
	clean := filepath.Clean(p)
	if filepath.Base(p) == "." {
		return clean, "."
	}
	return filepath.Dir(clean), filepath.Base(clean)
}

// keepEnd gives clean the slash or the dot at the end of p.
func keepEnd(clean, p string) string {
	if filepath.Base(p) == "." && filepath.Base(clean) != "." {
		return strings.TrimRight(clean, "/") + "/."
	}
	if strings.HasSuffix(p, "/") && !strings.HasSuffix(clean, "/") {
		return clean + "/"
	}
	return clean
}

// local is a path of this machine, absolute.
func local(p string) (string, error) {
	abs, err := filepath.Abs(p)
	return keepEnd(abs, p), err
}

func closing(f *os.File) { _ = f.Close() }
