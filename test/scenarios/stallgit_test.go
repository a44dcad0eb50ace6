package scenarios

import (
	"io"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"lus/test/need"
	"lus/test/stack"
)

// passing is a way to a server that lets through only so many bytes of an answer,
// and then stands still.
type passing struct {
	at     string // host:port
	to     string // the server's
	atMost atomic.Int64
	open   atomic.Int64 // connections
}

const all = 1 << 40

func passingTo(t *testing.T, to string) *passing {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	p := &passing{at: l.Addr().String(), to: to}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			p.open.Add(1)
			go func() {
				defer p.open.Add(-1)
				defer c.Close()
				p.carry(c)
			}()
		}
	}()
	return p
}

func (p *passing) carry(c net.Conn) {
	most := p.atMost.Load()
	if most == 0 {
		_, _ = io.Copy(io.Discard, c)
		return
	}
	s, err := net.Dial("tcp", p.to)
	if err != nil {
		return
	}
	defer s.Close()
	back := make(chan struct{})
	go func() {
		defer close(back)
		if n, err := io.CopyN(c, s, most); err == nil && n == most {
			return // and nothing more
		}
		_ = c.Close()
	}()
	_, _ = io.Copy(s, c)
	_ = s.Close()
	<-back
}

// gitDaemon serves a folder's repositories as git:// and returns its host:port.
func gitDaemon(t *testing.T, dir string) string {
	t.Helper()
	folder, err := exec.Command(need.Program(t, "git", "git"), "--exec-path").Output()
	if err != nil {
		t.Fatal(err)
	}
	port := stack.Port(t)
	cmd := exec.Command(filepath.Join(strings.TrimSpace(string(folder)), "git-daemon"), "--export-all", "--reuseaddr", "--listen=127.0.0.1", "--port="+port, "--base-path="+dir, dir)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	stack.Eventually(t, "git's daemon listens", func() bool {
		c, err := net.Dial("tcp", "127.0.0.1:"+port)
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	})
	return "127.0.0.1:" + port
}

// A server of git that does not answer, stands still in the middle, or accepts a
// connection and never greets it is given up as any other: git itself would wait for
// it for ever, or for five minutes. The next try works.
func TestABuildFromAGitServerThatStandsStillIsGivenUp(t *testing.T) {
	t.Parallel()
	s, before, kept, held := settled(t, `{"registry-timeout": "1s"}`)
	type try struct {
		*passing
		what, url string
		line      []string
		end       <-chan stack.Result
	}
	var tries []*try
	for _, scheme := range []string{"git", "https"} {
		for how, most := range map[string]int64{"silent": 0, "in part": 2000} {
			if scheme == "https" && most > 0 {
				continue // its server knows no TLS
			}
			for _, what := range []string{"a context", "files"} {
				// A repository each: what is one commit is fetched once for all.
				repo := gitSite(t, map[string]string{"Dockerfile": "FROM scratch\nCOPY f /f\n", "f": noise(t, 100_000)})
				p := passingTo(t, gitDaemon(t, repo))
				p.atMost.Store(most)
				url := scheme + "://" + p.at + "/repo.git"
				where := url
				if what == "files" {
					where = stack.Folder(t, map[string]string{"Dockerfile": "FROM scratch\nADD " + url + " /f\n"})
				}
				c := &try{passing: p, what: scheme + ": " + what + ", " + how, url: url, line: []string{"build", "-t", "built", where}}
				c.end = begin(s, c.line...)
				tries = append(tries, c)
			}
		}
	}
	for _, c := range tries {
		r := <-c.end
		last := r.Err[strings.LastIndex(r.Err, "------\n")+1:] // below what was told of the steps
		if r.Code == 0 || !strings.Contains(last, c.url) || !strings.Contains(last, "stopped sending") {
			t.Errorf("%s: exit code %d:\n%s", c.what, r.Code, r.All())
		}
		stack.Eventually(t, "the server is left", func() bool { return c.open.Load() == 0 })
		c.atMost.Store(all)
	}
	s.OK(t, "builder", "prune", "-a", "-f")
	s.Unchanged(t, before, stack.Files)
	for _, c := range tries {
		if strings.HasPrefix(c.url, "git:") {
			s.OK(t, c.line...)
			s.OK(t, "rmi", "built")
			s.OK(t, "builder", "prune", "-a", "-f")
		}
	}
	nothingLeft(t, s, kept, held)
}
