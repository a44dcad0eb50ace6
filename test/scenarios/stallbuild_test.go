package scenarios

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"lus/test/stack"
)

// silentToAll says nothing at all to any request.
func (st *standing) silentToAll(_ http.Handler, _ http.ResponseWriter, r *http.Request) bool {
	st.still(r)
	return true
}

// half sends half of what is asked for, and then nothing.
func (st *standing) half(files http.Handler, w http.ResponseWriter, r *http.Request) bool {
	whole := httptest.NewRecorder()
	files.ServeHTTP(whole, r)
	if r.Method == http.MethodGet && whole.Code == http.StatusOK {
		data := whole.Body.Bytes()
		w.Header().Set("Content-Length", fmt.Sprint(len(data)))
		_, _ = w.Write(data[:len(data)/2]) // the client may be gone
		_ = http.NewResponseController(w).Flush()
	}
	st.still(r)
	return true
}

// filesThatStand is a server of files that can stand still, and its URL.
func filesThatStand(t *testing.T, dir string) (*standing, string) {
	st := &standing{}
	files := http.FileServer(http.Dir(dir))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { st.ServeHTTP(files, w, r) }))
	t.Cleanup(server.Close)
	return st, server.URL
}

// A server from which a build has files, a context, a Dockerfile or a repository
// may stand still as a registry may: the build ends with a clear error, nothing
// half made is left, and the next try works.
func TestABuildFromAServerThatStandsStillIsGivenUp(t *testing.T) {
	t.Parallel()
	s, before, kept, held := settled(t, `{"registry-timeout": "1s"}`)
	repo := gitSite(t, map[string]string{"Dockerfile": "FROM scratch\nCOPY f /f\n", "f": noise(t, 100_000)})
	for name, data := range map[string][]byte{
		"file":           []byte(noise(t, 100_000)),
		"Dockerfile":     []byte("FROM scratch\nCOPY f /f\n" + strings.Repeat("# more\n", 1000)),
		"context.tar.gz": tarOf(t, map[string]string{"Dockerfile": "FROM scratch\nCOPY f /f\n", "f": noise(t, 100_000)}),
	} {
		if err := os.WriteFile(filepath.Join(repo, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	type try struct {
		what string
		url  string
		line []string
		*standing
		end <-chan stack.Result
	}
	var tries []*try
	for what, line := range map[string]func(url string) []string{
		"a file": func(url string) []string {
			return []string{stack.Folder(t, map[string]string{"Dockerfile": "FROM scratch\nADD " + url + "/file /f\n"})}
		},
		"a context": func(url string) []string { return []string{url + "/context.tar.gz"} },
		"a Dockerfile": func(url string) []string {
			return []string{"-f", url + "/Dockerfile", stack.Folder(t, map[string]string{"f": "f"})}
		},
		"a repository": func(url string) []string { return []string{url + "/repo.git"} },
		"a repository's files": func(url string) []string {
			return []string{stack.Folder(t, map[string]string{"Dockerfile": "FROM scratch\nADD " + url + "/repo.git /f\n"})}
		},
	} {
		for _, how := range []string{"silent", "half"} {
			st, url := filesThatStand(t, repo)
			st.set(map[string]fault{"silent": st.silentToAll, "half": st.half}[how])
			c := &try{what: what + ", " + how, url: url, line: append([]string{"build", "-t", "built"}, line(url)...), standing: st}
			c.end = begin(s, c.line...)
			tries = append(tries, c)
		}
	}
	for _, c := range tries {
		r := <-c.end
		if r.Code == 0 {
			t.Errorf("%s: it works:\n%s", c.what, r.All())
		}
		last := r.Err[strings.LastIndex(r.Err, "------\n")+1:] // below what was told of the steps
		if !strings.Contains(last, c.url) || !strings.Contains(last, "stopped sending") {
			t.Errorf("%s: it says\n%s", c.what, r.Err)
		}
		c.set(nil)
		stack.Eventually(t, "the server is left", func() bool { return c.waiting() == 0 })
	}
	s.OK(t, "builder", "prune", "-a", "-f")
	s.Unchanged(t, before, stack.Files)
	for _, c := range tries {
		s.OK(t, c.line...)
		s.OK(t, "rmi", "built")
		s.OK(t, "builder", "prune", "-a", "-f")
	}
	nothingLeft(t, s, kept, held)
}
