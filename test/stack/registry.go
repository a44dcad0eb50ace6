package stack

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// Registry starts an image registry on this host and returns its host:port. It
// ends with the test.
func Registry(t testing.TB) string {
	t.Helper()
	return RegistryBehind(t, func(registry http.Handler) http.Handler { return registry })
}

// RegistryBehind is Registry with something in front of it that may answer
// instead: one that breaks off, stalls or lies.
func RegistryBehind(t testing.TB, door func(registry http.Handler) http.Handler) string {
	t.Helper()
	quiet := slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	server := httptest.NewServer(door(registry.New(registry.Logger(quiet))))
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
}

// PushBusybox puts an image of busybox with this command into a registry.
func PushBusybox(t testing.TB, ref string, cmd ...string) {
	t.Helper()
	push(t, ref, cmd)
}

// PushFile puts an image of busybox with one more layer into a registry: a file
// in its root folder. It returns the hexadecimal digest of that layer's blob.
func PushFile(t testing.TB, ref, file string, content []byte) (blob string) {
	t.Helper()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	if err := w.WriteHeader(&tar.Header{Name: file, Mode: 0o644, Size: int64(len(content)), Typeflag: tar.TypeReg}); err != nil {
		t.Fatal(err)
	}
	_, err := w.Write(content)
	if err = errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(buf.Bytes())), nil })
	if err != nil {
		t.Fatal(err)
	}
	push(t, ref, []string{"sh"}, layer)
	digest, err := layer.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return digest.Hex
}

func push(t testing.TB, ref string, cmd []string, more ...v1.Layer) {
	t.Helper()
	files, err := tars()
	if err != nil {
		t.Fatal(err)
	}
	layer, err := tarball.LayerFromFile(files[Busybox])
	if err != nil {
		t.Fatal(err)
	}
	img, err := mutate.AppendLayers(empty.Image, append([]v1.Layer{layer}, more...)...)
	if err != nil {
		t.Fatal(err)
	}
	img, err = mutate.ConfigFile(img, &v1.ConfigFile{
		OS: "linux", Architecture: "amd64",
		Config: v1.Config{Cmd: cmd, Env: []string{"PATH=/bin"}},
		RootFS: configOf(t, img).RootFS,
	})
	if err != nil {
		t.Fatal(err)
	}
	where, err := name.ParseReference(ref, name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(where, img); err != nil {
		t.Fatal(err)
	}
}

func configOf(t testing.TB, img v1.Image) *v1.ConfigFile {
	t.Helper()
	config, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	return config
}
