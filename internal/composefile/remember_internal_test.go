package composefile

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// recalling loads and returns the project as text, and whether it was
// remembered.
func recalling(t *testing.T, o Options) (string, bool) {
	t.Helper()
	l, err := Load(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	text, err := l.source.MarshalYAML()
	if err != nil {
		t.Fatal(err)
	}
	ours, err := json.Marshal([]any{l.Project, l.Warnings, l.source.Environment})
	if err != nil {
		t.Fatal(err)
	}
	return string(text) + string(ours), l.recalled
}

// known loads until the project is remembered, and returns it as text.
func known(t *testing.T, o Options) string {
	t.Helper()
	first, _ := recalling(t, o)
	recalling(t, o) // now its env_files are known by name
	again, recalled := recalling(t, o)
	if !recalled {
		t.Fatal("it is not remembered")
	}
	if first != again {
		t.Fatalf("it is remembered otherwise:\n%s\n%s", first, again)
	}
	return first
}

// Whatever a project is made from, a change of it is seen.
func TestAProjectIsRememberedUntilAnythingOfItChanges(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	t.Setenv("HOME", "/home/one")
	t.Setenv("LUS_TEST_TAG", "1")
	t.Setenv("LUS_TEST_STAGE", "A")
	t.Setenv("LUS_TEST_A", "of a")
	dir := t.TempDir()
	file, more := filepath.Join(dir, "compose.yaml"), filepath.Join(dir, "more.yaml")
	const text = `
services:
  web:
    image: web:${LUS_TEST_TAG}
    env_file: [web.env, {path: late.env, required: false}]
    environment: ["LUS_TEST_${LUS_TEST_STAGE}", LUS_TEST_LATE]
    volumes: ["~/data:/data", "./here:/here"]
  extra: {image: extra, profiles: [extra]}
`
	put(t, file, text)
	put(t, more, "services: {web: {labels: {a: b}}}\n")
	put(t, filepath.Join(dir, "web.env"), "FROM_FILE=${LUS_TEST_TAG}-x\n")
	o := Options{Files: []string{file, more}, Name: "p", EnvFiles: nil}
	last := known(t, o)
	for _, c := range []struct {
		what   string
		change func()
		want   string
	}{
		{"a variable", func() { t.Setenv("LUS_TEST_TAG", "2") }, "web:2"},
		{"a variable whose name is put together", func() { t.Setenv("LUS_TEST_A", "of another") }, "of another"},
		{"a variable that was not there", func() { t.Setenv("LUS_TEST_LATE", "late value") }, "late value"},
		{"the home folder", func() { t.Setenv("HOME", "/home/two") }, "/home/two/data"},
		{"an env_file", func() { put(t, filepath.Join(dir, "web.env"), "FROM_FILE=changed\n") }, "changed"},
		{"an env_file that was not there", func() { put(t, filepath.Join(dir, "late.env"), "LATE=here\n") }, "here"},
		{".env", func() { put(t, filepath.Join(dir, ".env"), "DOT=1\nLUS_TEST_TAG=9\n") }, "DOT"},
		{"a profile", func() { o.Profiles = []string{"extra"} }, "extra"},
		{"the name", func() { o.Name = "q" }, "name: q"},
		{"the project's folder", func() { o.Dir = t.TempDir(); put(t, filepath.Join(o.Dir, "web.env"), "A=in another folder\n") }, "in another folder"},
		{"the second file", func() { put(t, more, "services: {web: {labels: {a: c}}}\n") }, "a: c"},
		{"the first file", func() { put(t, file, strings.ReplaceAll(text, "/data", "/other")) }, "/other"},
		{"the files", func() { o.Files = o.Files[:1] }, "web"},
	} {
		c.change()
		now, recalled := recalling(t, o)
		if recalled || now == last || !strings.Contains(now, c.want) {
			t.Errorf("%s: remembered %v, no %q in:\n%s", c.what, recalled, c.want, now)
		}
		last = known(t, o)
	}
}

func TestAnotherTerminalMakesNoOtherProject(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	t.Setenv("SSH_TTY", "/dev/pts/1")
	file := filepath.Join(t.TempDir(), "compose.yaml")
	o := Options{Files: []string{file}, Name: "p"}
	put(t, file, "services: {web: {image: a}}\n")
	known(t, o)
	t.Setenv("SSH_TTY", "/dev/pts/2")
	t.Setenv("SUDO_COMMAND", "/usr/bin/lus compose ps")
	if _, recalled := recalling(t, o); !recalled {
		t.Error("another terminal is another project")
	}
	// Where such a variable is made use of it counts, however it was named.
	t.Setenv("LUS_TEST_PART", "TTY")
	for _, name := range []string{"SSH_TTY", "SSH_${LUS_TEST_PART}"} {
		put(t, file, fmt.Sprintf("services: {web: {image: a, environment: [%q]}}\n", name))
		for i := range 6 {
			tty := fmt.Sprint("/dev/pts/", i/3)
			t.Setenv("SSH_TTY", tty)
			if text, _ := recalling(t, o); !strings.Contains(text, tty+"\n") {
				t.Errorf("%s is not %s in:\n%s", name, tty, text)
			}
		}
	}
}

func TestWhatReachesFurtherThanItsFilesIsNotRemembered(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	dir := t.TempDir()
	file := filepath.Join(dir, "compose.yaml")
	put(t, filepath.Join(dir, "other.yaml"), "services: {db: {image: b}}\n")
	put(t, filepath.Join(dir, "labels"), "a=b\n")
	for _, text := range []string{
		"include: [other.yaml]\nservices: {web: {image: a}}\n",
		"services: {web: {extends: {file: other.yaml, service: db}}}\n",
		"services: {web: {\"ext\\x65nds\": {file: other.yaml, service: db}}}\n",
		"services: {web: {image: a, label_file: labels}}\n",
		"services: {web: {build: ., develop: {watch: [{path: ., action: rebuild}]}}}\n",
	} {
		put(t, file, text)
		for range 3 {
			if _, recalled := recalling(t, Options{Files: []string{file}, Name: "p"}); recalled {
				t.Errorf("remembered: %s", text)
			}
		}
	}
}

// Values that are only in the environment do not get onto the disk.
func TestWhatIsRememberedCannotBeReadByOthers(t *testing.T) {
	cache := t.TempDir()
	t.Setenv("XDG_CACHE_HOME", cache)
	t.Setenv("LUS_TEST_SECRET", "correct horse battery")
	file := filepath.Join(t.TempDir(), "compose.yaml")
	put(t, file, "services: {web: {image: a, environment: {PASSWORD: \"${LUS_TEST_SECRET}\"}}}\n")
	o := Options{Files: []string{file}, Name: "p"}
	known(t, o)
	kept, err := filepath.Glob(filepath.Join(cache, "lus/compose/*.project"))
	if err != nil || len(kept) != 1 {
		t.Fatalf("kept %q, %v", kept, err)
	}
	data := must(os.ReadFile(kept[0]))
	if bytes.Contains(data, []byte("correct horse")) {
		t.Error("a value from the environment is on the disk")
	}
	// What others could have written is not believed.
	if err := os.Chmod(kept[0], 0o620); err != nil {
		t.Fatal(err)
	}
	if _, recalled := recalling(t, o); recalled {
		t.Error("a file that others may write was believed")
	}
	known(t, o)
	data = must(os.ReadFile(kept[0]))
	data[len(data)-1] ^= 1
	put(t, kept[0], string(data))
	if _, recalled := recalling(t, o); recalled {
		t.Error("a file that was changed was believed")
	}
}

func TestTheOldestOfWhatIsRememberedGoes(t *testing.T) {
	cache := t.TempDir()
	t.Setenv("XDG_CACHE_HOME", cache)
	file := filepath.Join(t.TempDir(), "compose.yaml")
	put(t, file, "services: {web: {image: a}}\n")
	for i := range most + 3 {
		recalling(t, Options{Files: []string{file}, Name: fmt.Sprint("p", i)})
	}
	kept, err := filepath.Glob(filepath.Join(cache, "lus/compose/*.project"))
	if err != nil || len(kept) != most {
		t.Errorf("%d are kept, %v", len(kept), err)
	}
	if _, recalled := recalling(t, Options{Files: []string{file}, Name: fmt.Sprint("p", most+2)}); !recalled {
		t.Error("the newest is gone")
	}
}

// A pipe can be read once, and is: `-f <(generate)`.
func TestAFileThatIsAPipeIsReadOnce(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := w.WriteString("services: {web: {image: a}}\n"); err != nil {
		t.Fatal(err)
	}
	_ = w.Close()
	l, err := Load(context.Background(), Options{Files: []string{fmt.Sprintf("/dev/fd/%d", r.Fd())}, Name: "p"})
	if err != nil || len(l.Project.Services) != 1 {
		t.Errorf("%v, %v", l, err)
	}
}
