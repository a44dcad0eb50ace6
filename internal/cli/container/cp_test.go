package container

import (
	"archive/tar"
	"context"
	"encoding/base64"
	"encoding/json"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"lus/internal/cli/command"
	"lus/internal/client"
	"lus/internal/model/container"
)

// archived is a daemon whose containers have one archive, whatever is asked for.
func archived(t *testing.T, st container.PathStat, entries ...tar.Header) *client.Client {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "d.sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	facts, err := json.Marshal(st)
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Docker-Container-Path-Stat", base64.StdEncoding.EncodeToString(facts))
		out := tar.NewWriter(w)
		for _, h := range entries {
			_ = out.WriteHeader(&h)
		}
		_ = out.Close()
	})}
	done := make(chan struct{})
	go func() { defer close(done); _ = s.Serve(l) }()
	t.Cleanup(func() { _ = s.Close(); <-done })
	c, err := client.New(client.Options{Host: "unix://" + socket})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// What a daemon sends beside what was asked for does not come to lie in the folder
// where the user stands.
func TestCpTakesNothingElse(t *testing.T) {
	file := container.PathStat{Name: "hosts", Mode: 0o644}
	folder := container.PathStat{Name: "etc", Mode: fs.ModeDir | 0o755}
	for what, c := range map[string]struct {
		of      container.PathStat
		entries []tar.Header
		want    []string
	}{
		"a file":                {file, []tar.Header{{Name: "hosts"}}, []string{"hosts"}},
		"a folder":              {folder, []tar.Header{{Name: "etc/", Typeflag: tar.TypeDir, Mode: 0o755}, {Name: "etc/hosts"}, {Name: "etc/link", Typeflag: tar.TypeLink, Linkname: "etc/hosts"}}, []string{"etc", "etc/hosts", "etc/link"}},
		"one more":              {file, []tar.Header{{Name: "hosts"}, {Name: ".bashrc"}}, nil},
		"one that begins alike": {file, []tar.Header{{Name: "hosts.allow"}}, nil},
		"one below a name":      {folder, []tar.Header{{Name: "etc/../.bashrc"}}, nil},
		"a link to another":     {folder, []tar.Header{{Name: "etc/", Typeflag: tar.TypeDir, Mode: 0o755}, {Name: "etc/key", Typeflag: tar.TypeLink, Linkname: "key"}}, nil},
	} {
		t.Run(what, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "key"), nil, 0o600); err != nil {
				t.Fatal(err)
			}
			e := &command.Env{Out: os.Stdout, Err: os.Stderr, Program: "lus", Client: archived(t, c.of, c.entries...)}
			err := command.Run(context.Background(), e, "lus cp", cpCommand(), []string{"-q", "web:/" + c.of.Name, dir})
			got, _ := filepath.Glob(filepath.Join(dir, "*"))
			more, _ := filepath.Glob(filepath.Join(dir, "etc", "*"))
			hidden, _ := filepath.Glob(filepath.Join(dir, ".*"))
			all := slices.Concat(got, more, hidden)
			for i := range all {
				all[i] = strings.TrimPrefix(all[i], dir+"/")
			}
			slices.Sort(all)
			if c.want != nil {
				if err != nil || !slices.Equal(slices.DeleteFunc(all, func(n string) bool { return n == "key" }), c.want) {
					t.Errorf("%v, there is %v", err, all)
				}
				return
			}
			if err == nil || slices.Contains(all, ".bashrc") || slices.Contains(all, "hosts.allow") || slices.Contains(all, "etc/key") {
				t.Errorf("%v, there is %v", err, all)
			}
		})
	}
}
