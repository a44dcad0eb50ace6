package composefile

import (
	"context"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/schema"
	"github.com/compose-spec/compose-go/v2/types"

	"lus/internal/base/errs"
	"lus/internal/model/compose"
)

// patterns collects the place of every key below a type, and whether it has
// keys of its own. What t says of the whole is not looked into.
func patterns(of reflect.Type, at string, t verdicts, into map[string]bool) {
	for of.Kind() == reflect.Pointer || of.Kind() == reflect.Map || of.Kind() == reflect.Slice {
		if of.Kind() != reflect.Pointer {
			at += ".*"
		}
		of = of.Elem()
	}
	for f := range of.Fields() {
		key, inline := keyOf(f)
		if inline {
			patterns(f.Type, at, t, into)
			continue
		}
		if key == "" {
			continue
		}
		place := strings.TrimPrefix(at+"."+key, ".")
		inner := holdsKeys(f.Type)
		into[place] = inner
		if fate, ok := t[place]; inner && (!ok || fate.what == carried) {
			patterns(f.Type, place, t, into)
		}
	}
}

// A new version of the library may know new keys: each must be carried out,
// refused, or named as one that has no effect.
func TestEveryKeyOfTheLibraryHasAFate(t *testing.T) {
	table, known := fates(), map[string]bool{}
	patterns(reflect.TypeFor[types.Project](), "", table, known)
	for key := range known {
		if _, ok := table[key]; !ok {
			t.Errorf("%s has no fate: carry it out, or say in fates.go what becomes of it", key)
		}
	}
	for key, f := range table {
		if _, ok := known[key]; !ok && key != "include" && key != "version" {
			t.Errorf("%s is %s, but the library has no such key", key, f.what)
		}
	}
}

// schemaKeys collects the places of the keys that the specification's schema
// allows.
func schemaKeys(root, node map[string]any, at string, t verdicts, into map[string]bool) {
	if ref, ok := node["$ref"].(string); ok {
		name := strings.TrimPrefix(ref, "#/$defs/")
		schemaKeys(root, root["$defs"].(map[string]any)[name].(map[string]any), at, t, into)
	}
	for _, many := range []string{"allOf", "anyOf", "oneOf"} {
		list, _ := node[many].([]any)
		for _, sub := range list {
			schemaKeys(root, sub.(map[string]any), at, t, into)
		}
	}
	below := func(sub any, at string) {
		if m, ok := sub.(map[string]any); ok && (t[at].what == "" || t[at].what == carried) {
			schemaKeys(root, m, at, t, into)
		}
	}
	properties, _ := node["properties"].(map[string]any)
	for key, sub := range properties {
		place := strings.TrimPrefix(at+"."+key, ".")
		into[place] = true
		below(sub, place)
	}
	named, _ := node["patternProperties"].(map[string]any)
	for pattern, sub := range named {
		if pattern != "^x-" {
			below(sub, at+".*")
		}
	}
	below(node["items"], at+".*")
	below(node["additionalProperties"], at+".*")
}

// elsewhere are keys of the schema that the library reads into others.
var elsewhere = []string{
	"networks.*.external.name", "volumes.*.external.name", "secrets.*.external.name", "configs.*.external.name", // name
}

func TestEveryKeyOfTheSchemaHasAFate(t *testing.T) {
	var root map[string]any
	if err := json.Unmarshal([]byte(schema.Schema), &root); err != nil {
		t.Fatal(err)
	}
	table, known := fates(), map[string]bool{}
	schemaKeys(root, root, "", table, known)
	if len(known) < 150 {
		t.Fatalf("only %d keys were found in the schema", len(known))
	}
	for key := range known {
		if _, ok := table[key]; !ok && !slices.Contains(elsewhere, key) {
			t.Errorf("%s has no fate", key)
		}
	}
}

func TestAnUnclassifiedKeyIsSeen(t *testing.T) {
	table, known := fates(), map[string]bool{}
	delete(table, "services.*.build.target")
	patterns(reflect.TypeFor[types.Project](), "", table, known)
	if _, ok := known["services.*.build.target"]; !ok {
		t.Error("a key without a fate would not be noticed")
	}
}

// base is what the examples are added to.
const base = `
name: shop
services:
  db: {image: mariadb, build: {context: .}}
  user: {image: busybox, networks: [front, default], volumes: ['data:/u'], models: [m], secrets: [{source: key, target: u}], configs: [{source: conf, target: /u}]}
  web:
    #image
    #web
networks: {front: {}, six: {enable_ipv6: true}}
volumes: {data: {}}
models: {m: {model: ai/m}}
secrets: {key: {file: ./compose.yaml}}
configs: {conf: {file: ./compose.yaml}}
`

// write makes a project of base with one line for the service web, or, where it
// does not speak of a service, with another top level.
func write(t *testing.T, pattern, line string) string {
	t.Helper()
	text := base
	if strings.HasPrefix(pattern, "services.") {
		if strings.HasPrefix(line, "image:") || strings.HasPrefix(line, "provider:") {
			text = strings.Replace(text, "#image", "", 1)
		}
		text = strings.Replace(text, "#web", line, 1)
	} else if key, _, _ := strings.Cut(line, ":"); line != "" {
		kept := slices.DeleteFunc(strings.Split(text, "\n"), func(l string) bool { return strings.HasPrefix(l, key+":") })
		text = strings.Join(kept, "\n") + line + "\n"
	}
	text = strings.Replace(text, "#image", "image: nginx", 1)
	file := filepath.Join(t.TempDir(), "compose.yaml")
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

// sent is what the daemon gets, less the sums that follow from the rest.
func sent(t *testing.T, pattern, line string) string {
	t.Helper()
	l, err := Load(context.Background(), Options{Files: []string{write(t, pattern, line)}, Access: access()})
	if err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	for i := range l.Project.Services {
		s := &l.Project.Services[i]
		s.Hash = ""
		delete(s.Create.Labels, compose.LabelConfigHash)
		delete(s.Create.Labels, compose.LabelConfigFiles)
		delete(s.Create.Labels, compose.LabelWorkingDir)
	}
	text, err := json.Marshal(l.Project)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// Every key that is carried out has an example that shows what reaches the
// daemon because of it; every other key has one that shows what is said.
func TestEveryKeyDoesWhatItsFateSays(t *testing.T) {
	t.Parallel()
	table, known := fates(), map[string]bool{}
	patterns(reflect.TypeFor[types.Project](), "", table, known)
	examples := keyExamples()
	for _, pattern := range slices.Sorted(maps.Keys(known)) {
		f, inner := table[pattern], known[pattern]
		e, has := examples[pattern]
		switch {
		case f.what == carried && inner, f.what == settled, f.what == moot, f.what == local:
			continue
		case !has:
			t.Errorf("%s: %s, but no example shows it", pattern, f.what)
			continue
		}
		t.Run(pattern, func(t *testing.T) {
			if f.what == carried {
				e.reaches(t, pattern)
			} else {
				e.isNamed(t, pattern, f)
			}
		})
		delete(examples, pattern)
	}
	for pattern := range examples {
		t.Errorf("the example for %s shows nothing: there is no such key", pattern)
	}
}

// example is a line of a Compose file with a key, what the daemon gets with it,
// and, where more than the key must go for it to be absent, the line without.
type example struct{ with, want, without string }

func (e example) reaches(t *testing.T, pattern string) {
	with, without := sent(t, pattern, e.with), sent(t, pattern, e.without)
	if !strings.Contains(with, e.want) {
		t.Errorf("%s\ndoes not send %s", e.with, e.want)
	}
	if strings.Contains(without, e.want) {
		t.Errorf("%s is sent without the key too", e.want)
	}
}

// isNamed holds where the key is named, with the line it stands in.
func (e example) isNamed(t *testing.T, pattern string, f fate) {
	file := write(t, pattern, e.with)
	l, err := Load(context.Background(), Options{Files: []string{file}})
	said := ""
	switch {
	case f.what == refused && errs.KindOf(err) != errs.Unsupported:
		t.Fatalf("%s is not refused: %v", e.with, err)
	case f.what == refused:
		said = err.Error()
	case err != nil:
		t.Fatal(err)
	default:
		said = strings.Join(l.Warnings, "\n")
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	key := pattern[strings.LastIndexByte(pattern, '.')+1:]
	at := 1
	for l := range strings.Lines(string(text)) {
		if strings.Contains(l, key+":") && strings.Contains(e.with, strings.TrimSpace(l)) {
			break
		}
		at++
	}
	want := finding{file: file, line: at}.where()
	if f.when != nil && strings.HasSuffix(pattern, ".volumes.*.bind.selinux") {
		if _, err := os.Stat("/sys/fs/selinux/enforce"); err != nil {
			if strings.Contains(said, f.why) {
				t.Errorf("a host without SELinux is told of labels: %s", said)
			}
			return
		}
	}
	if !strings.Contains(said, want) || !strings.Contains(said, key+": "+f.why) {
		t.Errorf("%s\nis not named as %s... %s: %s, but\n%s", e.with, want, key, f.why, said)
	}
}

// access is that of a user who reaches the daemon by its socket and is signed in
// nowhere.
func access() Access {
	return Access{Socket: "/run/lus.sock", Logins: func() ([]byte, error) { return []byte("{}"), nil }}
}
