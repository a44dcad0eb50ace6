package scenarios

import (
	"bufio"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"lus/internal/model/container"
	"lus/test/stack"
)

// busy is a container that computes, holds 24 MB and has three processes.
func busy(t *testing.T, s *stack.Stack, args ...string) string {
	t.Helper()
	name := named(t, s, "busy")
	s.OK(t, append(append([]string{"run", "-d", "--name", name, "-m", "64m"}, args...), stack.Busybox, "sh", "-c",
		"sleep 600 & (while :; do :; done) & dd if=/dev/zero of=/dev/shm/x bs=1M count=24; wait")...)
	return name
}

// api makes a request to the stack's daemon as a program would.
func api(t *testing.T, s *stack.Stack, path string) *http.Response {
	t.Helper()
	conn, err := net.Dial("unix", s.Socket())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(10 * time.Minute)); err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequest(http.MethodGet, "http://lus"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := req.Write(conn); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), req)
	if err != nil {
		t.Fatal(err)
	}
	// Closing a body reads it to its end, which a stream has not.
	resp.Body = struct {
		io.Reader
		io.Closer
	}{resp.Body, conn}
	return resp
}

func TestStatsSayWhatAContainerUses(t *testing.T) {
	t.Parallel()
	s := shared(t)
	name := busy(t, s)
	decode := func(query string, n int) (out []container.Stats) {
		t.Helper()
		resp := api(t, s, "/v1.51/containers/"+name+"/stats"+query)
		defer resp.Body.Close()
		if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "application/json" {
			t.Fatalf("%s: %s %s", query, resp.Status, resp.Header)
		}
		dec := json.NewDecoder(resp.Body)
		for range n {
			var one container.Stats
			if err := dec.Decode(&one); err != nil {
				t.Fatalf("%s: %v", query, err)
			}
			out = append(out, one)
		}
		return out
	}
	stack.Eventually(t, "the memory to be in use", func() bool {
		return decode("?stream=0&one-shot=1", 1)[0].Memory.Usage > 24<<20
	})

	one := decode("?stream=0&one-shot=1", 1)[0]
	switch {
	case one.Name != "/"+name || len(one.ID) != 64 || time.Since(one.Read) > time.Minute:
		t.Errorf("whose, and when: %+v", one)
	case !one.PreRead.IsZero() || one.PreCPU.Usage.Total != 0:
		t.Errorf("one shot has a sample before: %+v", one)
	case one.Memory.Limit != 64<<20 || one.Memory.Usage > 64<<20 || len(one.Memory.Stats) == 0:
		t.Errorf("memory: %+v", one.Memory)
	case one.Pids.Current < 3 || one.CPU.OnlineCPUs == 0 || one.CPU.SystemUsage < one.CPU.Usage.Total:
		t.Errorf("processes and processors: %+v %+v", one.Pids, one.CPU)
	case one.Networks["eth0"].TxPackets+one.Networks["eth0"].RxPackets == 0:
		t.Errorf("networks: %+v", one.Networks)
	}
	two := decode("?stream=0", 1)[0]
	if two.PreRead.IsZero() || !two.Read.After(two.PreRead) || two.CPU.Usage.Total <= two.PreCPU.Usage.Total || two.PreCPU.SystemUsage == 0 {
		t.Errorf("without a stream the sample before is missing: %+v", two)
	}
	many := decode("", 3)
	if !many[0].PreRead.IsZero() || !many[1].PreRead.Equal(many[0].Read) || many[2].PreCPU.Usage.Total != many[1].CPU.Usage.Total {
		t.Errorf("a stream's samples do not follow each other: %+v", many)
	}
	for query, status := range map[string]int{"?one-shot=1": 400, "?stream=1&one-shot=1": 400} {
		if resp := api(t, s, "/v1.51/containers/"+name+"/stats"+query); resp.StatusCode != status {
			t.Errorf("%s: %s", query, resp.Status)
		}
	}
	if resp := api(t, s, "/v1.51/containers/no-such-one/stats"); resp.StatusCode != 404 {
		t.Errorf("of none: %s", resp.Status)
	}
}

func TestStatsOfBothClients(t *testing.T) {
	t.Parallel()
	s := shared(t)
	client := dockerClient(t)
	name, idle := busy(t, s), named(t, s, "idle")
	id := s.OK(t, "create", "--name", idle, stack.Busybox, "true")
	line := regexp.MustCompile(`(?m)^[0-9a-f]{12} +` + name + ` +[0-9.]+% +[0-9.]+[KMG]iB / 64MiB +[0-9.]+% +[0-9.]+k?M?B / [0-9.]+k?M?B +\S+B / \S+B +[0-9]+ *$`)
	for _, program := range []string{s.Bin + "/lus", client} {
		text := s.Do(nil, program, "stats", "--no-stream", name).Want(t, 0)
		if !strings.HasPrefix(text, "CONTAINER ID   NAME") || !strings.Contains(text, "CPU %     MEM USAGE / LIMIT") || !line.MatchString(text) {
			t.Errorf("%s printed\n%s", program, text)
		}
		stack.Says(t, s.Do(nil, program, "stats", "--no-stream", "-a", "--no-trunc", "--format", "{{.ID}} {{.Name}} {{.CPUPerc}} {{.PIDs}}").Want(t, 0),
			id+" "+idle+" 0.00% 0")
		var row map[string]string
		if err := json.Unmarshal([]byte(s.Do(nil, program, "stats", "--no-stream", "--format", "json", name).Want(t, 0)), &row); err != nil {
			t.Error(err)
		}
		for _, key := range []string{"BlockIO", "CPUPerc", "Container", "ID", "MemPerc", "MemUsage", "Name", "NetIO", "PIDs"} {
			if row[key] == "" {
				t.Errorf("%s: no %s in %v", program, key, row)
			}
		}
		if head := s.Do(nil, program, "stats", "--no-stream", "--format", "table {{.Container}}\t{{.MemPerc}}", name).Want(t, 0); !strings.HasPrefix(head, "CONTAINER") {
			t.Errorf("%s printed\n%s", program, head)
		}
		r := s.Do(nil, program, "stats", "--no-stream", "no-such-one")
		r.Want(t, 1)
		stack.Says(t, r.Err, "Error response from daemon: No such container: no-such-one")
	}
}

func TestStatsAreRedrawn(t *testing.T) {
	t.Parallel()
	s := shared(t)
	name, later := busy(t, s), named(t, s, "later")
	term := s.Terminal(t, "stats")
	term.Sees(name)
	s.OK(t, "run", "-d", "--name", later, stack.Busybox, "sleep", "300")
	term.Sees(later) // one that comes is added
	s.OK(t, "rm", "-f", later)
	stack.Eventually(t, "a picture without the one that went", func() bool {
		pictures := strings.Split(term.Screen(), "\x1b[H")
		if len(pictures) < 3 {
			return false
		}
		last := pictures[len(pictures)-2] // a whole one
		return strings.Contains(last, name) && !strings.Contains(last, later) && strings.HasSuffix(last, "\x1b[J")
	})
	term.Type("\x03")
	if code := term.Ends(); code == 0 {
		t.Errorf("Ctrl-C ended it with %d", code)
	}

	// One that was named ends the table with its own end.
	alone := s.Terminal(t, "stats", name)
	alone.Sees(name)
	s.OK(t, "rm", "-f", name)
	if code := alone.Ends(); code != 0 {
		t.Errorf("stats of one that went ended with %d", code)
	}
}
