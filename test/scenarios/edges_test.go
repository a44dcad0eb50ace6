package scenarios

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"lus/test/stack"
)

// wire is a connection to the daemon on which the test speaks HTTP by itself.
func wire(t *testing.T, s *stack.Stack) *net.UnixConn {
	t.Helper()
	c, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: s.Socket(), Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(10 * time.Minute))
	return c
}

// Every filter of GET /containers/json: what it finds of three containers.
func TestEveryFilterOfTheContainerList(t *testing.T) {
	t.Parallel()
	s := shared(t)
	first, second, third := named(t, s, "first"), named(t, s, "second"), named(t, s, "third")
	net1, v, port, mark := network(t, s), volume(t, s), stack.Port(t), named(t, s, "mark")
	image := tagged(t, s, "filtered")
	s.Build(t, image, map[string]string{"Dockerfile": "FROM busybox\nRUN echo " + image + " > /f\n"})
	s.OK(t, "run", "--name", first, "--label", mark, stack.Busybox, "true")
	s.Lus("run", "--name", second, "--label", mark, "--label", "role="+mark, image, "sh", "-c", "exit 7").Want(t, 7)
	id := s.OK(t, "run", "-d", "--name", third, "--label", mark, "--network", net1, "-v", v+":/data", "-p", "127.0.0.1:"+port+":8080", "--expose", "9000/udp",
		"--health-cmd", "true", "--health-interval", "200ms", stack.Busybox, "sleep", "600")
	stack.Eventually(t, "a healthy container", func() bool {
		return s.OK(t, "inspect", "-f", "{{.State.Health.Status}}", third) == "healthy"
	})
	netID := s.OK(t, "network", "inspect", "-f", "{{.Id}}", net1)
	imageID := s.OK(t, "inspect", "-f", "{{.Id}}", image)
	all := []string{first, second, third}
	for _, c := range []struct {
		filter string
		want   []string
	}{
		{`"status":["running"]`, all[2:]}, {`"status":["exited"]`, all[:2]}, {`"status":["exited","running"]`, all}, {`"status":["paused"]`, nil},
		{`"exited":["7"]`, all[1:2]}, {`"exited":["0","7"]`, all[:2]},
		{`"id":["` + id[:10] + `"]`, all[2:]}, {`"id":["` + id + `"]`, all[2:]}, {`"id":["nothing"]`, nil},
		{`"name":["` + second + `"]`, all[1:2]}, {`"name":["^/` + second + `$"]`, all[1:2]}, {`"name":["` + first + `","` + third + `"]`, []string{first, third}},
		{`"label":["role"]`, all[1:2]}, {`"label":["role=` + mark + `"]`, all[1:2]}, {`"label":["role=other"]`, nil},
		{`"ancestor":["` + image + `"]`, all[1:2]}, {`"ancestor":["` + imageID + `"]`, all[1:2]}, {`"ancestor":["` + strings.TrimPrefix(imageID, "sha256:")[:12] + `"]`, all[1:2]}, {`"ancestor":["no-such"]`, nil},
		{`"ancestor":["` + stack.Busybox + `"]`, all}, // an image made from it counts, as Docker's manual says
		{`"publish":["` + port + `"]`, all[2:]}, {`"publish":["` + port + `/udp"]`, nil}, {`"publish":["8080"]`, all[2:]},
		{`"before":["` + second + `"]`, all[:1]}, {`"since":["` + second + `"]`, all[2:]}, {`"since":["` + first + `"],"before":["` + third + `"]`, all[1:2]},
		{`"health":["healthy"]`, all[2:]}, {`"health":["none"]`, all[:2]}, {`"health":["starting","unhealthy"]`, nil},
		{`"network":["` + net1 + `"]`, all[2:]}, {`"network":["` + netID + `"]`, all[2:]}, {`"network":["no-such"]`, nil},
		{`"volume":["` + v + `"]`, all[2:]}, {`"volume":["/data"]`, all[2:]}, {`"volume":["/other"]`, nil},
		{`"publish":["8080"]`, all[2:]}, {`"publish":["8000-8100/tcp"]`, all[2:]}, {`"publish":["8080/udp"]`, nil},
		{`"expose":["9000/udp"]`, all[2:]}, {`"expose":["9000"]`, nil},
		{`"is-task":["false"]`, all}, {`"is-task":["true"]`, nil},
		{`"status":{"running":true,"exited":false}`, all[2:]}, // as clients of 1.21 wrote it
	} {
		label := `"label":["` + mark + `"],`
		if strings.HasPrefix(c.filter, `"label"`) {
			label, c.filter = "", strings.Replace(c.filter, `["`, `["`+mark+`","`, 1)
		} else if strings.Contains(c.filter, ":{") {
			label = `"label":{"` + mark + `":true},`
		}
		code, text := endpoint(t, s, "GET", "/v1.51/containers/json?all=1&filters="+escape("{"+label+c.filter+"}"), "")
		var rows []struct{ Names []string }
		if err := json.Unmarshal([]byte(text), &rows); err != nil || code != 200 {
			t.Errorf("%s: %d %s", c.filter, code, text)
			continue
		}
		var got []string
		for _, r := range slices.Backward(rows) { // newest first
			got = append(got, strings.TrimPrefix(r.Names[0], "/"))
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s finds %v, want %v", c.filter, got, c.want)
		}
	}
	for filter, says := range map[string]string{
		`{"status":["odd"]}`: "status=odd", `{"health":["odd"]}`: "health=odd", `{"exited":["x"]}`: "exited=x", `{"publish":["x"]}`: "publish=x", `{"odd":["x"]}`: "odd",
	} {
		if code, text := endpoint(t, s, "GET", "/v1.51/containers/json?filters="+escape(filter), ""); code != 400 || !strings.Contains(text, "invalid filter") || !strings.Contains(text, says) {
			t.Errorf("%s: %d %s", filter, code, text)
		}
	}
	for _, key := range []string{"before", "since"} {
		if code, text := endpoint(t, s, "GET", "/v1.51/containers/json?filters="+escape(`{"`+key+`":["no-such"]}`), ""); code != 404 {
			t.Errorf("%s of no container: %d %s", key, code, text)
		}
	}
	// What nobody knows of a query is left alone.
	if code, text := endpoint(t, s, "GET", "/v1.51/containers/json?frobnicate=yes&all=perhaps", ""); code != 200 || !strings.Contains(text, first) {
		t.Errorf("an unknown word in the query: %d %.200s", code, text)
	}
}

// frames takes the multiplexed stream apart: "1" or "2" before each piece.
func frames(t *testing.T, text string) string {
	t.Helper()
	var out strings.Builder
	for text != "" {
		if len(text) < 8 || len(text) < 8+int(text[7]) {
			t.Fatalf("no whole frame: %q", text)
		}
		n := 8 + int(text[6])<<8 + int(text[7])
		fmt.Fprintf(&out, "%d%s", text[0], text[8:n])
		text = text[n:]
	}
	return out.String()
}

func TestEveryOptionOfLogs(t *testing.T) {
	t.Parallel()
	s := shared(t)
	name := named(t, s, "logs")
	// It goes on once a line is in the log: each has a time of its own, and the
	// two streams keep their order.
	s.OK(t, "run", "-d", "--name", name, "--label", "team=a b", "-e", "WHO=me", "--log-opt", "labels=team", "--log-opt", "env=WHO", stack.Busybox,
		"sh", "-c", "echo one; until [ -e /2 ]; do sleep 0.05; done; echo two >&2; until [ -e /3 ]; do sleep 0.05; done; echo three")
	await(t, s, name, "one")
	s.OK(t, "exec", name, "touch", "/2")
	await(t, s, name, "two")
	s.OK(t, "exec", name, "touch", "/3")
	s.OK(t, "wait", name)
	logs := func(query string) string {
		t.Helper()
		code, text := endpoint(t, s, "GET", "/v1.51/containers/"+name+"/logs?"+query, "")
		if code != 200 {
			t.Fatalf("%s: %d %s", query, code, text)
		}
		return frames(t, text)
	}
	stamps := map[string]string{}
	for line := range strings.Lines(logs("stdout=1&stderr=1&timestamps=1")) {
		at, word, _ := strings.Cut(strings.TrimSpace(line[1:]), " ")
		stamps[word] = at
	}
	moment := func(word string) string {
		at, err := time.Parse(time.RFC3339Nano, stamps[word])
		if err != nil {
			t.Fatalf("%s was written at %q: %v", word, stamps[word], err)
		}
		return fmt.Sprintf("%d.%09d", at.Unix(), at.Nanosecond())
	}
	const all = "1one\n2two\n1three\n"
	for query, want := range map[string]string{
		"stdout=1&stderr=1":                                 all,
		"stdout=1":                                          "1one\n1three\n",
		"stderr=1":                                          "2two\n",
		"stdout=1&stderr=1&follow=1":                        all,
		"stdout=1&stderr=1&tail=2":                          "2two\n1three\n",
		"stdout=1&tail=1":                                   "1three\n",
		"stdout=1&stderr=1&tail=0":                          "",
		"stdout=1&stderr=1&tail=all":                        all,
		"stdout=1&stderr=1&tail=-1":                         all,
		"stdout=1&stderr=1&tail=many":                       all,
		"stdout=1&stderr=1&since=" + moment("two"):          "2two\n1three\n",
		"stdout=1&stderr=1&since=" + stamps["two"]:          "2two\n1three\n",
		"stdout=1&stderr=1&until=" + moment("two"):          "1one\n2two\n",
		"stdout=1&since=" + moment("two"):                   "1three\n",
		"stdout=1&stderr=1&since=0&until=0":                 all,
		"stdout=1&stderr=1&until=1.5":                       "",
		"stdout=1&stderr=1&details=1":                       "1WHO=me,team=a+b one\n2WHO=me,team=a+b two\n1WHO=me,team=a+b three\n",
		"stdout=1&tail=1&timestamps=1&details=true":         "1" + stamps["three"] + " WHO=me,team=a+b three\n",
		"stdout=1&stderr=1&follow=1&until=" + moment("one"): "1one\n",
	} {
		if got := logs(query); got != want {
			t.Errorf("%s gives %q, want %q", query, got, want)
		}
	}
	if got := s.OK(t, "logs", "--details", "--tail", "1", name); got != "WHO=me,team=a+b three" {
		t.Errorf("logs --details gives %q", got)
	}
	for query, says := range map[string]string{
		"": "you must choose at least one stream", "stdout=1&since=yesterday": "not a time", "stdout=1&until=1.x": "not a time",
	} {
		if code, text := endpoint(t, s, "GET", "/v1.51/containers/"+name+"/logs?"+query, ""); code != 400 || !strings.Contains(text, says) {
			t.Errorf("%q: %d %s", query, code, text)
		}
	}
}

// attachBy starts a container with a client attached, and returns the
// connection and what comes behind the answer's head.
func attachBy(t *testing.T, s *stack.Stack, name string) (*net.UnixConn, *bufio.Reader) {
	t.Helper()
	c := wire(t, s)
	fmt.Fprintf(c, "POST /v1.51/containers/%s/attach?stream=1&stdin=1&stdout=1&stderr=1 HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: 0\r\n\r\n", name)
	r := bufio.NewReader(c)
	resp, err := http.ReadResponse(r, nil)
	if err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("attach: %v, %v", resp, err)
	}
	s.OK(t, "start", name)
	return c, r
}

// The end of the input is not the end of the output.
func TestAHalfClosedAttach(t *testing.T) {
	t.Parallel()
	s := shared(t)
	name := named(t, s, "half")
	s.OK(t, "create", "-i", "--name", name, stack.Busybox, "sh", "-c", "n=$(wc -c); sleep 0.3; echo $n came")
	c, r := attachBy(t, s, name)
	fmt.Fprint(c, "12345")
	if err := c.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(r)
	if got := frames(t, string(text)); err != nil || got != "15 came\n" {
		t.Errorf("read %q, %v", got, err)
	}
}

// A terminal has no end of input: what is written after the client's half
// closed still comes.
func TestAHalfClosedAttachToATerminal(t *testing.T) {
	t.Parallel()
	s := shared(t)
	name := named(t, s, "halftty")
	s.OK(t, "create", "-it", "--name", name, stack.Busybox, "sh", "-c", "stty -echo; read word; sleep 0.3; echo got $word")
	c, r := attachBy(t, s, name)
	fmt.Fprint(c, "it\n")
	if err := c.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if text, err := io.ReadAll(r); err != nil || !strings.HasSuffix(string(text), "got it\r\n") {
		t.Errorf("read %q, %v", text, err)
	}
}

// Clients that go away in the middle leave nothing behind that would hold up
// others, or the container's removal.
func TestClientsThatGoAwayInMidStream(t *testing.T) {
	t.Parallel()
	s := shared(t)
	name := named(t, s, "away")
	s.OK(t, "run", "-d", "--name", name, stack.Busybox, "sh", "-c", "while :; do echo line; done")
	for _, request := range []string{
		"GET /containers/%s/logs?stdout=1&follow=1", "GET /containers/%s/stats", "GET /containers/%s/export", "GET /events?x=%s",
		"POST /containers/%s/wait", "GET /containers/%s/archive?path=/", "POST /containers/%s/attach?stream=1&stdout=1",
	} {
		c := wire(t, s)
		fmt.Fprintf(c, request+" HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", name)
		if line, err := bufio.NewReader(c).ReadString('\n'); err != nil || !strings.Contains(line, " 200 ") {
			t.Errorf("%s: %q, %v", request, line, err)
		}
		_ = c.Close()
	}
	half := wire(t, s)
	fmt.Fprint(half, "POST /build HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-tar\r\nContent-Length: 100000\r\n\r\nDockerfile")
	_ = half.Close()
	s.OK(t, "rm", "-f", name)
	if code, _ := endpoint(t, s, "GET", "/v1.51/_ping", ""); code != 200 {
		t.Errorf("afterwards the daemon answers %d", code)
	}
}

func TestABuildContextThatIsNoTar(t *testing.T) {
	t.Parallel()
	s := shared(t)
	for _, body := range []string{"no tar", strings.Repeat("\xff", 4096), "\x1f\x8b no gzip"} {
		if code, text := endpoint(t, s, "POST", "/v1.51/build", body); code != 400 || !strings.Contains(text, "message") {
			t.Errorf("%.10q: %d %s", body, code, text)
		}
	}
}
