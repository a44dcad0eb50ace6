package stack

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// Busybox and Debian are the images that tests build on.
const (
	Busybox = "busybox"
	Debian  = "debian:bookworm-slim"
)

// tars makes the base images' tars, or finds them in the cache, and returns
// their files by the names of the images.
var tars = sync.OnceValues(func() (map[string]string, error) {
	repo, err := repository()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(filepath.Join(repo, "scripts/base-images"), "--tars", Busybox, Debian)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	files := strings.Fields(string(out))
	if err != nil || len(files) != 2 {
		return nil, fmt.Errorf("scripts/base-images --tars failed: %s", errs.String())
	}
	return map[string]string{Busybox: files[0], Debian: files[1]}, nil
})

// Import gives this stack one of the base images.
func (s *Stack) Import(name string) error {
	files, err := tars()
	if err != nil {
		return err
	}
	command := `CMD ["sh"]`
	if name == Debian {
		command = `CMD ["bash"]`
	}
	r := s.Lus("image", "import", "--change", command,
		"--change", "ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"--change", "LABEL org.lus.stand-in=test", files[name], name)
	if r.Code != 0 {
		return fmt.Errorf("%s: exit code %d: %s", r.Line, r.Code, r.Err)
	}
	return nil
}

// ImportBusybox gives this stack its busybox.
func (s *Stack) ImportBusybox(t testing.TB) {
	t.Helper()
	if err := s.Import(Busybox); err != nil {
		t.Fatal(err)
	}
}

// ImportDebian gives this stack its debian:bookworm-slim.
func (s *Stack) ImportDebian(t testing.TB) {
	t.Helper()
	if err := s.Import(Debian); err != nil {
		t.Fatal(err)
	}
}

// Tar is the file of a base image.
func Tar(name string) (string, error) {
	files, err := tars()
	return files[name], err
}

// StandIn builds an image that stands in for an official one, from the folder
// of that name in test/standins, once per stack, and returns its name.
func (s *Stack) StandIn(t testing.TB, name string) string {
	t.Helper()
	return s.BuildOnce(t, name, "test/standins/"+name)
}

// BuildOnce builds an image from a folder of the repository, unless this stack
// has it, and returns its name.
func (s *Stack) BuildOnce(t testing.TB, name, dir string) string {
	t.Helper()
	defer BuildAlone()()
	if s.Lus("image", "inspect", name).Code != 0 {
		s.OK(t, "build", "-q", "-t", name, filepath.Join(s.Repo, dir))
	}
	return name
}

// building lets one test build while the others wait for the same image.
var building sync.Mutex

// BuildAlone lets nobody else build a folder of the repository until done. Equal
// builds at once share one image; but compose labels what it builds, so that its
// image of a folder is another, and the name would stand for either.
func BuildAlone() (done func()) {
	building.Lock()
	return building.Unlock
}

// Build builds an image from files given by name and content.
func (s *Stack) Build(t testing.TB, tag string, files map[string]string, args ...string) Result {
	t.Helper()
	return s.Lus(append(append([]string{"build", "-t", tag}, args...), Folder(t, files))...)
}

// Folder is a new folder with these files.
func Folder(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}
