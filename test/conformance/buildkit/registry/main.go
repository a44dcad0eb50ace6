// Command registry stands where the suite expects the program of that name: an
// OCI registry on loopback. For the suite's mirror of Docker Hub, the one whose
// folder is given, it has stand-ins for the images that tests build on.
package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

func main() {
	var err error
	switch {
	case len(os.Args) == 3 && os.Args[1] == "serve":
		err = serve(filepath.Dir(os.Args[2]))
	case len(os.Args) == 4 && os.Args[1] == "prepare":
		err = prepare(os.Args[2], os.Args[3])
	default:
		err = errors.New("usage: registry serve CONFIG, or registry prepare BUSYBOX.TAR FOLDER")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "registry:", err)
		os.Exit(1)
	}
}

// serve answers until it is told to stop. The folder of the suite's mirror is the
// one that LUS_MIRROR names.
func serve(dir string) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	quiet := log.New(os.Stderr, "", 0)
	server := &http.Server{Handler: registry.New(registry.Logger(quiet), registry.WithReferrersSupport(true)), ReadHeaderTimeout: time.Minute}
	go func() { _ = server.Serve(l) }() // ends with Close
	if dir == os.Getenv("LUS_MIRROR") {
		if err := standIns(l.Addr().String(), dir); err != nil {
			return err
		}
	}
	fmt.Fprintf(os.Stderr, "listening on %s\n", l.Addr())
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM, os.Interrupt)
	<-stop
	return server.Close()
}

// The layers of the stand-ins, gzip as Docker Hub's are.
const (
	busyboxLayer = "busybox.tar.gz"
	alpineLayer  = "alpine.tar.gz"
)

// prepare makes the stand-ins' layers once: the suite gives a registry five
// seconds to begin, and begins one for each part of it.
func prepare(busybox, dir string) error {
	base, err := os.ReadFile(busybox)
	if err != nil {
		return err
	}
	alpine, err := withGit()
	if err != nil {
		return err
	}
	alpine["etc/alpine-release"] = "3.18.0\n"
	for name, files := range map[string]map[string]string{busyboxLayer: nil, alpineLayer: alpine} {
		data, err := withFiles(base, files)
		if err != nil {
			return err
		}
		var out bytes.Buffer
		w := gzip.NewWriter(&out)
		if _, err := w.Write(data); err != nil {
			return err
		}
		if err := w.Close(); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, name), out.Bytes(), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// standIns puts the images that the suite takes from Docker Hub into the
// mirror: all of them are the busybox of Debian, with the few files that the
// official ones have and it has not.
func standIns(host, dir string) error {
	for file, images := range map[string][]string{
		busyboxLayer: {"library/busybox:latest", "library/busybox:stable-musl", "amd64/debian:bullseye-20230109-slim", "tonistiigi/hellofs:latest"},
		alpineLayer:  {"library/alpine:latest"},
	} {
		img, err := standIn(filepath.Join(dir, file))
		if err != nil {
			return err
		}
		for _, image := range images {
			ref, err := name.ParseReference(host+"/"+image, name.Insecure)
			if err != nil {
				return err
			}
			if err := remote.Write(ref, img); err != nil {
				return err
			}
		}
	}
	return nil
}

// standIn is an image of one layer.
func standIn(file string) (v1.Image, error) {
	layer, err := tarball.LayerFromFile(file)
	if err != nil {
		return nil, err
	}
	id, err := layer.DiffID()
	if err != nil {
		return nil, err
	}
	img, err := mutate.AppendLayers(empty.Image, layer)
	if err != nil {
		return nil, err
	}
	at := v1.Time{Time: time.Unix(1700000000, 0).UTC()}
	return mutate.ConfigFile(img, &v1.ConfigFile{
		OS: "linux", Architecture: "amd64", Created: at,
		Config:  v1.Config{Cmd: []string{"sh"}, Env: []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}},
		RootFS:  v1.RootFS{Type: "layers", DiffIDs: []v1.Hash{id}},
		History: []v1.History{{Created: at, CreatedBy: "stand-in"}, {Created: at, CreatedBy: `CMD ["sh"]`, EmptyLayer: true}},
	})
}

// withFiles is the tar with these files, and those of the official image that
// Debian's busybox comes without, in place of its own.
func withFiles(base []byte, more map[string]string) ([]byte, error) {
	files := map[string]string{"etc/passwd": passwd, "etc/group": group, "usr/sbin/adduser": adduser, "usr/sbin/addgroup": addgroup}
	maps.Copy(files, more)
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for r := tar.NewReader(bytes.NewReader(base)); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		if _, ok := files[path.Clean(h.Name)]; ok {
			continue
		}
		if err := w.WriteHeader(h); err != nil {
			return nil, err
		}
		if _, err := io.Copy(w, r); err != nil {
			return nil, err
		}
	}
	for _, file := range slices.Sorted(maps.Keys(files)) {
		if err := w.WriteHeader(&tar.Header{Name: file, Typeflag: tar.TypeReg, Mode: 0o755, Size: int64(len(files[file])), ModTime: time.Unix(0, 0)}); err != nil {
			return nil, err
		}
		if _, err := io.WriteString(w, files[file]); err != nil {
			return nil, err
		}
	}
	return out.Bytes(), w.Close()
}

// withGit are the files of this host's git and of the libraries it needs, and
// an apk that is content with what is there.
func withGit() (map[string]string, error) {
	git, err := exec.LookPath("git")
	if err != nil {
		return nil, err
	}
	out := map[string]string{"sbin/apk": apk}
	paths := []string{git}
	libs, err := exec.Command("ldd", git).Output()
	if err != nil {
		return nil, err
	}
	for _, word := range strings.Fields(string(libs)) {
		if strings.HasPrefix(word, "/") {
			paths = append(paths, word)
		}
	}
	for _, p := range paths {
		data, err := os.ReadFile(p)
		if err != nil {
			return nil, err
		}
		out[strings.TrimPrefix(p, "/")] = string(data)
	}
	return out, nil
}

const (
	passwd = "root:x:0:0:root:/root:/bin/sh\ndaemon:x:1:1:daemon:/usr/sbin:/bin/false\nwww-data:x:33:33:www-data:/var/www:/bin/false\nnobody:x:65534:65534:nobody:/home:/bin/false\n"
	group  = "root:x:0:\ndaemon:x:1:\nwheel:x:10:root\nwww-data:x:33:\nnobody:x:65534:\n"
	apk    = `#!/bin/sh
# apk add [OPTION...] NAME...
shift
for p; do case $p in -*) ;; *) command -v "$p" >/dev/null || { echo "apk: no $p in this stand-in"; exit 127; } ;; esac; done
`
	adduser = `#!/bin/sh
# adduser [-D] [-u UID] [-G GROUP] USER
uid=1000 group=
while grep -q "^[^:]*:[^:]*:$uid:" /etc/passwd /etc/group; do uid=$((uid + 1)); done
while getopts Du:G: o; do case $o in u) uid=$OPTARG ;; G) group=$OPTARG ;; esac; done
shift $((OPTIND - 1))
if [ -n "$group" ]; then gid=$(sed -n "s/^$group:[^:]*:\([0-9]*\):.*/\1/p" /etc/group)
else gid=$uid; echo "$1:x:$uid:" >>/etc/group; fi
echo "$1:x:$uid:$gid:Linux User:/home/$1:/bin/sh" >>/etc/passwd
mkdir -p "/home/$1" && chown "$uid:$gid" "/home/$1"
`
	addgroup = `#!/bin/sh
# addgroup [-g GID] GROUP
gid=1000
while getopts g: o; do gid=$OPTARG; done
shift $((OPTIND - 1))
echo "$1:x:$gid:" >>/etc/group
`
)
