package executor

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/moby/buildkit/executor"
	"github.com/moby/buildkit/solver/pb"
	"github.com/moby/sys/user"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"lus/internal/base/errs"
)

// defaultHostname is BuildKit's: steps that look see the same name wherever
// they are built, and the cache stays valid.
const defaultHostname = "buildkitsandbox"

func hostname(meta executor.Meta) string {
	if meta.Hostname != "" {
		return meta.Hostname
	}
	return defaultHostname
}

// networkFiles writes the step's hosts and resolv.conf and returns their binds.
func (b *bundle) networkFiles(meta executor.Meta) ([]specs.Mount, error) {
	hosts, err := b.file("hosts", hostsFile(meta))
	if err != nil {
		return nil, err
	}
	resolv, err := b.file("resolv.conf", hostResolvConf(meta.NetMode))
	if err != nil {
		return nil, err
	}
	options := []string{"rbind", "ro", "nosuid", "noexec", "nodev"}
	return []specs.Mount{
		{Destination: "/etc/resolv.conf", Type: "bind", Source: resolv, Options: options},
		{Destination: "/etc/hosts", Type: "bind", Source: hosts, Options: options},
	}, nil
}

// hostsFile is the step's /etc/hosts.
func hostsFile(meta executor.Meta) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "127.0.0.1\tlocalhost %s\n::1\tlocalhost ip6-localhost ip6-loopback\n", hostname(meta))
	for _, h := range meta.ExtraHosts {
		fmt.Fprintf(&b, "%s\t%s\n", h.IP, h.Host)
	}
	return b.Bytes()
}

// hostResolvConf is the step's /etc/resolv.conf before a network says better:
// the host's own where the step has the host's network, else empty.
func hostResolvConf(mode pb.NetMode) []byte {
	if mode != pb.NetMode_HOST {
		return nil
	}
	text, err := os.ReadFile("/etc/resolv.conf")
	if err != nil {
		return nil
	}
	return text
}

// lookUpUser finds the process's user ("name", "uid", "name:group", ...) in
// the step's own files. Nobody named is root.
func lookUpUser(rootfs, name string) (specs.User, error) {
	if name == "" {
		name = "0"
	}
	if uid, gid, ok := numeric(name); ok {
		return specs.User{UID: uid, GID: gid, AdditionalGids: []uint32{gid}}, nil
	}
	passwd, err := UserFile(rootfs, "/etc/passwd")
	if err != nil {
		return specs.User{}, err
	}
	group, err := UserFile(rootfs, "/etc/group")
	if err != nil {
		return specs.User{}, err
	}
	u, err := user.GetExecUser(name, &user.ExecUser{Home: "/"}, passwd, group)
	if err != nil {
		return specs.User{}, errs.New(errs.Invalid, "user %q: %w", name, err)
	}
	out := specs.User{UID: uint32(u.Uid), GID: uint32(u.Gid), AdditionalGids: []uint32{uint32(u.Gid)}}
	for _, g := range u.Sgids {
		if g != u.Gid {
			out.AdditionalGids = append(out.AdditionalGids, uint32(g))
		}
	}
	return out, nil
}

// numeric reads "uid:gid", which needs no look-up.
func numeric(name string) (uid, gid uint32, ok bool) {
	u, g, both := strings.Cut(name, ":")
	if !both {
		return 0, 0, false
	}
	a, err := strconv.ParseUint(u, 10, 32)
	if err != nil {
		return 0, 0, false
	}
	b, err := strconv.ParseUint(g, 10, 32)
	if err != nil {
		return 0, 0, false
	}
	return uint32(a), uint32(b), true
}

// maxUserFile bounds what is read of an image's passwd and group.
const maxUserFile = 10 << 20

// UserFile reads a file of the image, never outside its root and never from
// anything but a regular file. A missing one is empty.
func UserFile(rootfs, name string) (io.Reader, error) {
	root, err := os.OpenFile(rootfs, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	fd, err := unix.Openat2(int(root.Fd()), name, &unix.OpenHow{
		Flags:   unix.O_RDONLY | unix.O_NONBLOCK | unix.O_NOCTTY | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS,
	})
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) {
		return strings.NewReader(""), nil
	}
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: name, Err: err}
	}
	f := os.NewFile(uintptr(fd), name)
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !st.Mode().IsRegular() || st.Size() > maxUserFile {
		return nil, errs.New(errs.Invalid, "the image's %s is not a file of at most 10 MiB", name)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxUserFile))
	return bytes.NewReader(text), err
}
