package scenarios

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"lus/test/stack"
)

// The Docker Engine API 1.51, endpoint by endpoint: what its documentation
// lists, and what Lus answers. Names in braces are those of the test's things.
// Where an endpoint has a shape, the answer's fields and their types are
// compared with testdata/api/SHAPE.json; `go test -run TestEveryEndpoint -shapes`
// writes those anew.
var contract = `
GET    /_ping                               200
HEAD   /_ping                               200
GET    /version                             200 version
GET    /info                                200 info
POST   /auth                                503 cannot be reached
GET    /events?since=1&until=2              200

GET    /containers/json?all=1&filters={"name":["{container}"]}      200 containers
POST   /containers/create                   400 invalid JSON
GET    /containers/{container}/json         200 container
GET    /containers/{container}/json?size=1  200
GET    /containers/{container}/top          200 top
GET    /containers/{container}/logs?stdout=1 200
GET    /containers/{container}/stats?stream=0 200
GET    /containers/none/changes             404 No such container: none
GET    /containers/none/export              404 No such container: none
POST   /containers/{container}/resize?h=20&w=70 200
POST   /containers/{container}/start        304
POST   /containers/none/stop                404 No such container: none
POST   /containers/none/restart             404 No such container: none
POST   /containers/none/kill                404 No such container: none
POST   /containers/{container}/update       200 update
POST   /containers/none/rename?name=x       404 No such container: none
POST   /containers/{container}/pause        204
POST   /containers/{container}/unpause      204
POST   /containers/none/attach              404 No such container: none
GET    /containers/{container}/attach/ws    400 WebSocket
POST   /containers/none/wait                404 No such container: none
DELETE /containers/none                     404 No such container: none
HEAD   /containers/{container}/archive?path=/etc 200
GET    /containers/{container}/archive?path=/etc 200
PUT    /containers/none/archive?path=/etc   404 No such container: none
POST   /containers/prune?filters={"label":["nobody-has-this"]} 200 containers-prune
POST   /containers/{container}/exec         400 No exec command specified
POST   /exec/none/start                     404 No such exec instance: none
POST   /exec/none/resize?h=1&w=1            404 No such exec instance: none
GET    /exec/{exec}/json                    200 exec

GET    /images/json?filters={"reference":["busybox"]} 200 images
GET    /images/busybox/json                 200 image
GET    /images/busybox/history              200 history
POST   /images/none:1/push                  404 does not exist locally with the tag
POST   /images/none/tag?repo=x              404 No such image: none
DELETE /images/none                         404 No such image: none
GET    /images/search?term=x                503 no hub is asked
POST   /images/create?fromImage=Bad:Name    400 invalid reference format
POST   /images/prune?filters={"label":["nobody-has-this"]} 200 images-prune
GET    /images/none/get                     404 No such image: none
GET    /images/get?names=none               404 No such image: none
POST   /images/load                         400
POST   /commit?container=none               404 No such container: none
GET    /distribution/127.0.0.1:1/x/json     503 cannot be reached
POST   /build?squash=1                      501 squash
POST   /build/cancel                        400 build ID not provided
POST   /build/prune?filters={"id":["nobody"]} 200 build-prune
POST   /session                             400 no upgrade proto in request
POST   /grpc                                400 no upgrade proto in request

GET    /networks                            200
GET    /networks/{network}                  200 network
POST   /networks/create                     400 name
POST   /networks/none/connect               400 Container must name
POST   /networks/none/disconnect            400 Container must name
DELETE /networks/nosuch                     404 network nosuch not found
POST   /networks/prune?filters={"label":["nobody-has-this"]} 200 networks-prune

GET    /volumes?filters={"name":["{volume}"]} 200 volumes
POST   /volumes/create                      201 volume
GET    /volumes/{volume}                    200 volume
PUT    /volumes/{volume}                    503 swarm is unavailable
DELETE /volumes/none                        404 get none: no such volume
POST   /volumes/prune?filters={"label":["nobody-has-this"]} 200 volumes-prune
GET    /system/df                           200 df

GET    /plugins                             200 []
GET    /plugins/privileges?remote=x         501 plugins are not supported
POST   /plugins/pull?remote=x               501 plugins are not supported
POST   /plugins/create?name=x               501 plugins are not supported
GET    /plugins/a/b:1/json                  404 not found
DELETE /plugins/a/b:1                       404 not found
POST   /plugins/a/b:1/enable                404 not found
POST   /plugins/a/b:1/disable               404 not found
POST   /plugins/a/b:1/upgrade               404 not found
POST   /plugins/a/b:1/push                  404 not found
POST   /plugins/a/b:1/set                   404 not found

GET    /swarm                               503 This node is not a swarm manager
POST   /swarm/init                          503 This node is not a swarm manager
POST   /swarm/join                          503 This node is not a swarm manager
POST   /swarm/leave                         503 This node is not part of a swarm
POST   /swarm/update                        503 This node is not a swarm manager
GET    /swarm/unlockkey                     503 This node is not a swarm manager
POST   /swarm/unlock                        503 This node is not a swarm manager
GET    /nodes                               503 This node is not a swarm manager
GET    /nodes/x                             503 This node is not a swarm manager
DELETE /nodes/x                             503 This node is not a swarm manager
POST   /nodes/x/update                      503 This node is not a swarm manager
GET    /services                            503 This node is not a swarm manager
POST   /services/create                     503 This node is not a swarm manager
GET    /services/x                          503 This node is not a swarm manager
DELETE /services/x                          503 This node is not a swarm manager
POST   /services/x/update                   503 This node is not a swarm manager
GET    /services/x/logs                     503 This node is not a swarm manager
GET    /tasks                               503 This node is not a swarm manager
GET    /tasks/x                             503 This node is not a swarm manager
GET    /tasks/x/logs                        503 This node is not a swarm manager
GET    /secrets                             503 This node is not a swarm manager
POST   /secrets/create                      503 This node is not a swarm manager
GET    /secrets/x                           503 This node is not a swarm manager
DELETE /secrets/x                           503 This node is not a swarm manager
POST   /secrets/x/update                    503 This node is not a swarm manager
GET    /configs                             503 This node is not a swarm manager
POST   /configs/create                      503 This node is not a swarm manager
GET    /configs/x                           503 This node is not a swarm manager
DELETE /configs/x                           503 This node is not a swarm manager
POST   /configs/x/update                    503 This node is not a swarm manager

GET    /nothing                             404 page not found
PATCH  /info                                404 page not found
`

var shapes = flag.Bool("shapes", false, "write the shapes of the answers anew")

func TestEveryEndpoint(t *testing.T) {
	t.Parallel()
	s := stack.Start(t) // alone: what there is, is in the answers
	things := map[string]string{"{container}": named(t, s, "contract"), "{network}": network(t, s), "{volume}": volume(t, s)}
	s.OK(t, "volume", "create", "--label", "a=b", things["{volume}"])
	s.OK(t, "run", "-d", "-t", "--name", things["{container}"], "--network", things["{network}"], "--label", "a=b", "--health-cmd", "true", "--health-interval", "1h",
		"-p", "127.0.0.1::80", "-v", things["{volume}"]+":/data", stack.Busybox, "sleep", "600")
	_, answer := endpoint(t, s, "POST", "/v1.51/containers/"+things["{container}"]+"/exec", `{"Cmd":["sleep","1"]}`)
	var exec struct{ ID string }
	if err := json.Unmarshal([]byte(answer), &exec); err != nil || exec.ID == "" {
		t.Fatalf("no exec: %s", answer)
	}
	things["{exec}"] = exec.ID
	bodies := map[string]string{
		"POST /containers/create": "{", "POST /volumes/create": `{"Name":"{volume}"}`, "POST /networks/create": `{}`, "POST /containers/{container}/update": `{}`,
		"POST /containers/{container}/exec": `{}`, "POST /images/load": "no tar", "POST /auth": `{"serveraddress":"127.0.0.1:1","username":"u","password":"p"}`,
	}
	for line := range strings.Lines(contract) {
		f := strings.Fields(line)
		if len(f) == 0 {
			continue
		}
		method, target, want := f[0], f[1], f[2]
		path, query, _ := strings.Cut(target, "?")
		name := method + " " + path
		code, text := endpoint(t, s, method, "/v1.51"+filled(path, things)+"?"+escape(filled(query, things)), filled(bodies[name], things))
		if fmt.Sprint(code) != want {
			t.Errorf("%s: answered %d %.300s, want %s", target, code, text, want)
			continue
		}
		rest := strings.TrimSpace(strings.Join(f[3:], " "))
		if code == 200 && rest != "[]" || code == 201 {
			compare(t, rest, text)
		} else if !strings.Contains(text, rest) {
			t.Errorf("%s %s: answered %.300s, want %q", method, target, text, rest)
		}
	}
}

// raw query values of the table, as a client sends them.
func escape(query string) string {
	return strings.NewReplacer("{", "%7B", "}", "%7D", `"`, "%22", " ", "%20").Replace(query)
}

func filled(text string, things map[string]string) string {
	for name, is := range things {
		text = strings.ReplaceAll(text, name, is)
	}
	return text
}

// compare holds an answer against the file with its shape; one without a name
// has none.
func compare(t *testing.T, name, text string) {
	t.Helper()
	if name == "" {
		return
	}
	var v any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Errorf("%s is not JSON: %v: %.200s", name, err, text)
		return
	}
	got, err := json.MarshalIndent(shape("", v), "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join("testdata/api", name+".json")
	if *shapes {
		if err := os.WriteFile(file, append(got, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil || strings.TrimSpace(string(want)) != string(got) {
		t.Errorf("the fields of %s (%v) are\n%s", file, err, got)
	}
}

// named maps: their keys are people's words, not the API's.
var open = []string{"Networks", "Labels", "Ports", "ExposedPorts", "PortBindings", "Options", "Containers", "Annotations", "Sysctls", "Runtimes", "IndexConfigs", "Images", "Tmpfs", "Volumes"}

// shape is an answer with the types of its values in their place.
func shape(key string, v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for k, inner := range v {
			if k == "Warnings" || k == "RepoDigests" {
				inner = nil // the machine's own, and what other tests push
			}
			if slices.Contains(open, key) {
				out["*"] = shape("", inner)
				continue
			}
			out[k] = shape(k, inner)
		}
		return out
	case []any:
		if len(v) == 0 {
			return v
		}
		return []any{shape("", v[0])}
	case string:
		return "text"
	case float64:
		return "number"
	case bool:
		return "true or false"
	}
	return v
}

// endpoint makes one request of the API as a client would, and returns the answer.
func endpoint(t *testing.T, s *stack.Stack, method, path, body string) (int, string) {
	t.Helper()
	r, err := http.NewRequest(method, "http://lus"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", s.Socket())
	}
	client := http.Client{Timeout: 5 * time.Minute, Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}
	resp, err := client.Do(r)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	return resp.StatusCode, string(text)
}
