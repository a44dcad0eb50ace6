package scenarios

import (
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"lus/test/need"
)

// Every verb of docker's client is a verb of lus, and takes every flag of it, by
// docker's own help: built, or refused with a reason. A flag that lus does not
// know is answered with "unknown flag", which nothing here may be.
func TestEveryVerbAndFlagOfDocker(t *testing.T) {
	t.Parallel()
	docker := newDockerClient(t)
	lus := filepath.Join(repoBin(t), "lus")
	verbs, flags := 0, 0
	for _, f := range flagsOf(helpOf(docker, nil)) {
		if out, _ := exec.Command(lus, "--"+f+"=", "--help").CombinedOutput(); strings.Contains(string(out), "unknown flag") {
			t.Errorf("lus has no --%s before the command: %s", f, out)
		}
	}
	for _, v := range verbsOf(docker, nil) {
		verbs++
		path, help := v.path, v.help
		text, err := exec.Command(lus, append(path, "--help")...).CombinedOutput()
		if err != nil && strings.Contains(string(text), path[0]+" is not supported: ") {
			continue
		}
		if err != nil {
			t.Errorf("lus %s --help: %v\n%s", strings.Join(path, " "), err, text)
			continue
		}
		has := flagsOf(string(text))
		for _, f := range flagsOf(help) {
			flags++
			if slices.Contains(has, f) {
				continue
			}
			// Those that are refused stand in no help. There is no daemon, so
			// nothing is done.
			line := append([]string{"-H", "unix:///nonexistent"}, path...)
			out, _ := exec.Command(lus, append(line, "--"+f+"=1")...).CombinedOutput()
			if strings.Contains(string(out), "unknown flag") || strings.Contains(string(out), "unknown command") {
				t.Errorf("lus %s has no --%s: %s", strings.Join(path, " "), f, out)
			}
		}
	}
	t.Logf("%d verbs and %d flags of docker's client", verbs, flags)
	if verbs < 150 || flags < 700 {
		t.Errorf("only %d verbs and %d flags were read of docker's help", verbs, flags)
	}
}

// What is refused says so, and what to do.
func TestRefusalsSayWhy(t *testing.T) {
	t.Parallel()
	s := shared(t)
	for line, why := range map[string]string{
		"run --gpus many busybox":                `"many" is no number of GPUs`,
		"run --kernel-memory 5m busybox":         "use --memory",
		"build --memory 1g .":                    "steps of a build have no limits of their own",
		"build -m 1g .":                          "steps of a build have no limits of their own",
		"build --squash .":                       "--squash is not supported",
		"build --rm=false .":                     "nothing is left of the containers",
		"pull --disable-content-trust=false x":   "signatures of images are not checked",
		"images --tree":                          "use image ls",
		"start --checkpoint c x":                 "processes cannot be kept over a stop",
		"volume create --limit-bytes 5 x":        "need a swarm",
		"volume update x":                        "need a swarm",
		"swarm init --advertise-addr 1.2.3.4":    "swarm is not supported: Lus is one machine",
		"service create --name x busybox":        "run a stack of services with compose",
		"context use other":                      "-H or LUS_HOST",
		"checkpoint create x y":                  "keep what matters in a volume",
		"plugin install x":                       "are part of Lus",
		"trust sign x":                           "name an image by its digest",
		"manifest inspect x":                     "an image is for one platform",
		"search nginx":                           "the registry of this host is not enabled",
		"push --platform linux/arm64 busybox":    "does not match the specified platform (linux/arm64)",
		"save --platform linux/arm64 busybox":    "does not match the specified platform (linux/arm64)",
		"rmi --platform linux/arm64 busybox":     "does not match the specified platform (linux/arm64)",
		"history --platform linux/arm64 busybox": "does not match the specified platform (linux/arm64)",
		"save --platform linux busybox":          "write OS/ARCH",
	} {
		r := s.Lus(strings.Fields(line)...)
		if r.Code == 0 || !strings.Contains(r.All(), why) {
			t.Errorf("lus %s: (%d) %s\nwant: %s", line, r.Code, r.All(), why)
		}
	}
}

func repoBin(t *testing.T) string {
	t.Helper()
	bin, err := filepath.Abs("../../bin")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := exec.LookPath(filepath.Join(bin, "lus")); err != nil {
		need.Unmet(t, "bin/lus: run make build first")
	}
	return bin
}

func helpOf(program string, path []string) string {
	out, _ := exec.Command(program, append(path, "--help")...).Output()
	return string(out)
}

type verb struct {
	path []string
	help string
}

// verbsOf walks down docker's help to the commands that do something.
func verbsOf(program string, path []string) (out []verb) {
	help := helpOf(program, path)
	in := false
	var below []string
	for line := range strings.Lines(help) {
		line = strings.TrimRight(line, "\n")
		switch {
		case strings.HasSuffix(line, "Commands:"):
			in = true
		case line == "":
			in = false
		case in:
			// A star marks a plugin, which is no part of docker.
			if name := strings.Fields(line)[0]; !strings.HasSuffix(name, "*") {
				below = append(below, name)
			}
		}
	}
	if len(below) == 0 || len(path) == 3 {
		return []verb{{path, help}}
	}
	for _, name := range below {
		out = append(out, verbsOf(program, append(append([]string{}, path...), name))...)
	}
	return out
}

// flagsOf are the long flags of a command's help.
func flagsOf(help string) (out []string) {
	for _, m := range regexp.MustCompile(`(?m)^\s+(?:-\w, )?\s*--([\w-]+)`).FindAllStringSubmatch(help, -1) {
		if m[1] != "help" {
			out = append(out, m[1])
		}
	}
	return out
}
