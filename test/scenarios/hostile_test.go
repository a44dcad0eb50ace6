package scenarios_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"lus/test/stack"
)

// raw sends bytes to the daemon's socket and returns the answer's status and
// body.
func raw(t *testing.T, socket, method, path, body string) (int, string) {
	t.Helper()
	c, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(10 * time.Minute))
	// The daemon may answer before it has read all: what the write says is of
	// no interest.
	go func() {
		_, _ = fmt.Fprintf(c, "%s %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", method, path, len(body), body)
	}()
	resp, err := http.ReadResponse(bufio.NewReader(c), &http.Request{Method: method})
	if err != nil {
		t.Fatalf("%s %.80s: no answer: %v", method, path, err)
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(text)
}

// Whoever speaks to the socket is hostile until proven otherwise: every request
// that makes no sense is refused with a reason, and leaves nothing.
func TestHostileRequestsAreRefusedAndLeaveNothing(t *testing.T) {
	t.Parallel()
	s := stack.Start(t)
	s.ImportBusybox(t)
	const create = "/v1.51/containers/create"
	with := func(config string) string { return `{"Image":"busybox","Cmd":["true"],` + config + `}` }
	before := s.Still()
	for _, c := range []struct{ what, method, path, body string }{
		{"garbage", "POST", create, "{{{"},
		{"a list", "POST", create, "[]"},
		{"nothing", "POST", create, ""},
		{"a number for a name", "POST", create, `{"Image":5}`},
		{"an object for a command", "POST", create, `{"Image":"busybox","Cmd":{"a":1}}`},
		{"negative memory", "POST", create, with(`"HostConfig":{"Memory":-5}`)},
		{"negative CPUs", "POST", create, with(`"HostConfig":{"NanoCpus":-1}`)},
		{"a number without end", "POST", create, with(`"HostConfig":{"Memory":99999999999999999999999}`)},
		{"a NUL in a name", "POST", create + "?name=a%00b", with(`"Tty":false`)},
		{"a name that is a path", "POST", create + "?name=../../x", with(`"Tty":false`)},
		{"a name of a mile", "POST", create + "?name=" + strings.Repeat("a", 6000), with(`"Tty":false`)},
		{"a NUL in the environment", "POST", create, with(`"Env":["A=b\u0000c"]`)},
		{"a variable without a name", "POST", create, with(`"Env":["=x"]`)},
		{"a NUL in the command", "POST", create, `{"Image":"busybox","Cmd":["a\u0000b"]}`},
		{"a relative working folder", "POST", create, with(`"WorkingDir":"../.."`)},
		{"a line in the host's name", "POST", create, with(`"Hostname":"a/b\nc"`)},
		{"a network that is a path", "POST", create, with(`"HostConfig":{"NetworkMode":"../x"}`)},
		{"a negative port", "POST", create, with(`"HostConfig":{"PortBindings":{"80/tcp":[{"HostPort":"-1"}]}}`)},
		{"a port of letters", "POST", create, with(`"HostConfig":{"PortBindings":{"abc":[{"HostPort":"1"}]}}`)},
		{"an address of letters", "POST", create, with(`"HostConfig":{"PortBindings":{"80/tcp":[{"HostIp":"no","HostPort":"80"}]}}`)},
		{"an unknown restart policy", "POST", create, with(`"HostConfig":{"RestartPolicy":{"Name":"sometimes"}}`)},
		{"negative restarts", "POST", create, with(`"HostConfig":{"RestartPolicy":{"Name":"on-failure","MaximumRetryCount":-4}}`)},
		{"negative shared memory", "POST", create, with(`"HostConfig":{"ShmSize":-4}`)},
		{"a negative log", "POST", create, with(`"HostConfig":{"LogConfig":{"Type":"json-file","Config":{"max-size":"-3"}}}`)},
		{"an unknown log driver", "POST", create, with(`"HostConfig":{"LogConfig":{"Type":"nonsense"}}`)},
		{"a body of 30 MB", "POST", create, `{"Image":"` + strings.Repeat("a", 30<<20) + `"}`},
		{"200,000 brackets", "POST", create, strings.Repeat("[", 200_000)},
		{"a volume that is a path", "POST", "/v1.51/volumes/create", `{"Name":"../../evil"}`},
		{"a volume's name of a mile", "POST", "/v1.51/volumes/create", `{"Name":"` + strings.Repeat("a", 400) + `"}`},
		{"the volume above", "GET", "/v1.51/volumes/..%2f..%2fetc", ""},
		{"a network's name with a path", "POST", "/v1.51/networks/create", `{"Name":"a/../b"}`},
		{"a subnet that is none", "POST", "/v1.51/networks/create", `{"Name":"sub","IPAM":{"Config":[{"Subnet":"999.1.1.1/99"}]}}`},
		{"all of the world as a subnet", "POST", "/v1.51/networks/create", `{"Name":"sub","IPAM":{"Config":[{"Subnet":"0.0.0.0/0"}]}}`},
		{"a tag that is a path", "POST", "/v1.51/images/busybox/tag?repo=../../x&tag=y", ""},
		{"a version of the future", "GET", "/v9.99/containers/json", ""},
		{"filters of garbage", "GET", "/v1.51/containers/json?filters=garbage", ""},
		{"a context that is no folder of this host", "POST", "/lus/v1/build", `{"contextDir":"relative"}`},
		{"a build of garbage", "POST", "/lus/v1/build", "xx"},
		{"a project of garbage", "POST", "/lus/v1/compose/up", `{"project":7}`},
		{"a project without a name", "POST", "/lus/v1/compose/up", `{"project":{}}`},
		{"a service without labels", "POST", "/lus/v1/compose/up", `{"project":{"name":"evil","services":[{"name":"a","scale":1,"image":"busybox","create":{"HostConfig":{}}}]}}`},
		{"a hook that is nothing", "POST", "/lus/v1/compose/up",
			`{"project":{"name":"evil","services":[{"name":"a","scale":1,"image":"busybox","create":{"HostConfig":{},"Labels":{}},"preStart":[{"image":"busybox"}]}]}}`},
		{"a place on a network that is nothing", "POST", "/lus/v1/compose/up",
			`{"project":{"name":"evil","services":[{"name":"a","scale":1,"image":"busybox","create":{"HostConfig":{},"Labels":{},"NetworkingConfig":{"EndpointsConfig":{"n":null}}}}]}}`},
		{"a start of services that are nothing", "POST", "/lus/v1/compose/start", `{"name":"evil","project":{"name":"evil","services":[{"name":"a","preStart":[{}]}]}}`},
		{"a down of services that are nothing", "POST", "/lus/v1/compose/down", `{"name":"evil","project":{"name":"evil","services":[{"name":"a"}]}}`},
	} {
		code, answer := raw(t, s.Socket(), c.method, c.path, c.body)
		told := strings.Contains(answer, `"message":"`) || strings.Contains(answer, `"error":"`)
		refused := code >= 400 && code != http.StatusInternalServerError
		// A stream that began well tells of the error in its last line.
		if !refused && !(code == http.StatusOK && strings.Contains(answer, `"error":"`)) || !told {
			t.Errorf("%s: answered %d %.200q", c.what, code, answer)
		}
	}
	if log := s.DaemonLog(200); strings.Contains(log, "panic") {
		t.Errorf("the daemon panicked:\n%s", log)
	}
	s.Unchanged(t, before)
}
