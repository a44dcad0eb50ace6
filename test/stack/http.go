package stack

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Get reads http://127.0.0.1:port/path once; the status is 0 where nobody answers.
func Get(port, path string) (status int, body string) {
	r, err := http.NewRequest(http.MethodGet, "http://127.0.0.1:"+port+path, nil)
	if err != nil {
		return 0, err.Error()
	}
	return Do(r)
}

// Do makes a request over a connection of its own and does not follow redirects.
func Do(r *http.Request) (status int, body string) {
	client := http.Client{
		Timeout:       long,
		Transport:     &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	answer, err := client.Do(r)
	if err != nil {
		return 0, err.Error()
	}
	defer answer.Body.Close()
	data, err := io.ReadAll(answer.Body)
	if err != nil {
		return 0, err.Error()
	}
	return answer.StatusCode, string(data)
}

// Page waits until path answers 200 and returns the body: a server inside a
// container takes a moment until it listens.
func Page(t testing.TB, port, path string) string {
	t.Helper()
	var status int
	var body string
	Eventually(t, "http://127.0.0.1:"+port+path+" to answer", func() bool {
		status, body = Get(port, path)
		return status == http.StatusOK
	})
	return body
}

// long is how long something may take on a machine that is slow and has much
// else to do. Nothing that works waits for it.
const long = 5 * time.Minute

// Eventually waits until something holds and fails the test where it never does.
func Eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(long); !holds(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited %s for %s", long, what)
		}
	}
}

// listening is how the kernel writes that state of a TCP socket.
const listening = "0A"

// Listens waits until something in a container listens on a TCP port: a started
// container is not yet a server that answers.
func (s *Stack) Listens(t testing.TB, container string, port int) {
	t.Helper()
	pid := s.OK(t, "inspect", "--format", "{{.State.Pid}}", container)
	local := fmt.Sprintf(":%04X", port)
	Eventually(t, fmt.Sprintf("%s to listen on port %d", container, port), func() bool {
		for _, family := range []string{"tcp", "tcp6"} {
			sockets, err := os.ReadFile(filepath.Join("/proc", pid, "net", family))
			if err != nil {
				continue
			}
			for line := range strings.Lines(string(sockets)) {
				if f := strings.Fields(line); len(f) > 3 && strings.HasSuffix(f[1], local) && f[3] == listening {
					return true
				}
			}
		}
		return false
	})
}
