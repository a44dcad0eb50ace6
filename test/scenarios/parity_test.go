package scenarios

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"lus/internal/base/ids"
	"lus/test/need"
	"lus/test/stack"
)

// row is one line that a person types. It is run by the unmodified docker
// client and by lus, each with things of its own on the same daemon, and must
// print the same and end the same; what differs by nature (ids, times,
// addresses) is compared by its form.
type row struct {
	do   string // in sh: `docker` is either program, and W begins all names
	out  string // is in what it prints, where Docker documents that
	err  string // is in what it says on stderr; where empty, both say something or neither does
	code int    // how it ends
	race bool   // docker's client may end before it has printed; lus must print out
}

// parity runs the rows one after the other, by each client.
func parity(t *testing.T, rows []row) {
	t.Parallel()
	s, names := shared(t), ids.Short(ids.New())[:6]
	by := map[string][]stack.Result{}
	for client, program := range map[string]string{"d": newDockerClient(t), "l": filepath.Join(s.Bin, "lus")} {
		word, dir := "p"+names+client, t.TempDir()
		if err := os.Symlink(program, filepath.Join(dir, "docker")); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { removeNamed(s, word) })
		work := stack.Folder(t, nil)
		for _, r := range rows {
			got := s.DoIn(work, nil, "env", "PATH="+dir+":"+os.Getenv("PATH"), "timeout", "-k", "5", "600", "sh", "-c", wordIn(r.do, word))
			got.Out, got.Err = alike(got.Out, word, work), alike(got.Err, word, work)
			by[client] = append(by[client], got)
		}
	}
	reasons := onPurpose()
	for i, r := range rows {
		problem := r.compare(by["d"][i], by["l"][i])
		reason, meant := reasons[r.do]
		switch {
		case problem != "" && !meant:
			t.Errorf("%s\n%s\ndocker: %s\nlus:    %s", r.do, problem, show(by["d"][i]), show(by["l"][i]))
		case problem == "" && meant:
			t.Errorf("%s\nis the same by both, so this is no longer true: %s", r.do, reason)
		}
	}
}

// compare says what is wrong with how the two ended.
func (r row) compare(docker, lus stack.Result) string {
	if r.race && docker.Out == "" {
		docker.Out = r.out
	}
	switch {
	case docker.Code != r.code:
		return "docker should end with another code"
	case lus.Code != docker.Code:
		return "another exit code"
	case !strings.Contains(docker.Out, r.out):
		return "docker should print " + r.out
	case lus.Out != docker.Out:
		return "another output"
	case !strings.Contains(docker.Err, r.err):
		return "docker should say " + r.err
	case !strings.Contains(lus.Err, r.err):
		return "lus should say " + r.err
	case (lus.Err == "") != (docker.Err == ""):
		return "one says something on stderr"
	}
	return ""
}

func show(r stack.Result) string {
	return strings.TrimSpace(strings.Join([]string{fmt.Sprintf("(%d)", r.Code), r.Out, "stderr:", r.Err}, "\n"))
}

// newDockerClient is docker's client of today.
func newDockerClient(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("docker")
	if err != nil {
		need.Unmet(t, "a docker client 28 on the PATH: an older one prints otherwise")
	}
	return path
}

// wordIn puts the word that begins all names where a line says W.
func wordIn(line, word string) string {
	return regexp.MustCompile(`\bW\b`).ReplaceAllString(line, word)
}

// alike writes what differs by nature between two runs by its form.
func alike(text, word, dir string) string {
	text = strings.NewReplacer(word, "W", strings.ToUpper(word), "W", dir, "DIR").Replace(text)
	for _, form := range [][2]string{
		{`sha256:[0-9a-f]{64}|\b[0-9a-f]{64}\b`, "ID"},
		{`\b[0-9a-f]{12}\b`, "id"},
		{`\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)?( [+-]\d{4} \w+)?`, "TIME"},
		{`Less than a second|About a minute|\d+ (second|minute)s?`, "WHILE"},
		{`\b(?:[0-9a-f]{2}:){5}[0-9a-f]{2}\b`, "MAC"},
		{`\b(10|172|192)\.\d+\.\d+\.\d+\b`, "IP"},
		{`"Containers":"\d+"`, `"Containers":"N"`}, // other tests' too
		{`"time":\d+,"timeNano":\d+`, `"time":N`},
		{`([:/])\d{5}\b`, "${1}PORT"},
		{`  +`, "  "}, // columns are as wide as their widest cell
		{` +\n`, "\n"},
	} {
		text = regexp.MustCompile(form[0]).ReplaceAllString(text, form[1])
	}
	return text
}

// removeNamed takes away all whose name begins so.
func removeNamed(s *stack.Stack, word string) {
	for _, kind := range [][3]string{
		{"ps -aq --filter name=", "rm -f -v", ""},
		{"images --format {{.Repository}}:{{.Tag}} --filter reference=", "rmi -f", "*"},
		{"network ls -q --filter name=", "network rm", ""},
		{"volume ls -q --filter name=", "volume rm -f", ""},
	} {
		for _, name := range strings.Fields(s.Lus(strings.Fields(kind[0] + word + kind[2])...).Out) {
			s.Lus(append(strings.Fields(kind[1]), name)...)
		}
	}
}

// onPurpose are the lines that lus answers otherwise than docker's client, and
// why.
func onPurpose() map[string]string {
	return map[string]string{
		"docker run --rm --detach-keys nonsense busybox true": "lus says what is wrong with the keys before it makes a container",
		"docker inspect -f '{{.NoSuch}}' W-a":                 "docker's client prints an empty line before the error",
		"docker info -f '{{.NoSuch}}'":                        "docker's client prints an empty line before the error",
		"docker version -f '{{.NoSuch}}'":                     "docker's client prints an empty line before the error",
		"docker inspect -f '{{.Mounts}}' W-a":                 "lus knows the API's document, not the Go types of docker's client: an object is printed as a map",
	}
}
