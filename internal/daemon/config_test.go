package daemon

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestTheConfigurationFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "daemon.json")
	if c, err := readConfig(path, false); err != nil || !reflect.DeepEqual(c, config{}) {
		t.Errorf("none: %+v, %v", c, err)
	}
	if _, err := readConfig(path, true); err == nil {
		t.Error("one that was asked for is not there, and nobody says so")
	}
	for text, want := range map[string]config{
		`{}`: {},
		`{"registry-mirrors": ["https://m.example"], "insecure-registries": ["lan:5000", "10.0.0.0/8"]}`: {
			Mirrors: mirrors{"docker.io": {"https://m.example"}}, Insecure: []string{"lan:5000", "10.0.0.0/8"}},
		`{"registry-timeout": "2m"}`:                                    {Timeout: duration(2 * time.Minute)},
		`{"cdi-spec-dirs": ["/srv/cdi"]}`:                               {Devices: []string{"/srv/cdi"}},
		`{"registry-mirrors": {"ghcr.io": ["https://a", "https://b"]}}`: {Mirrors: mirrors{"ghcr.io": {"https://a", "https://b"}}},
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if c, err := readConfig(path, true); err != nil || !reflect.DeepEqual(c, want) {
			t.Errorf("%s: %+v, %v", text, c, err)
		}
	}
}

func TestAWrongConfigurationSaysWhere(t *testing.T) {
	path := filepath.Join(t.TempDir(), "daemon.json")
	for text, want := range map[string]string{
		"": ":1: this is no JSON",
		"{\n \"insecure-registries\": [\n  \"a\"\n":            ":3: this is no JSON",
		"{\n \"insecure-registries\": [\n  \"a\" \"b\"\n ]\n}": ":3: this is no JSON",
		"{\n \"insecure-registries\": [],\n}":                  ":3: this is no JSON",
		"{}\n{}":                                               ":2: this is no JSON",
		"[]":                                                   ":1: the configuration is no JSON object",
		"{\n\n \"insecure-registry\": []}":                     `:3: "insecure-registry" is not known`,
		"{\n \"registry-timeout\": \"soon\"}":                  `:2: "registry-timeout" is not what belongs there: "soon" is no time between`,
		"{\n \"registry-timeout\": \"10ms\"}":                  `between a second and a day`,
		"{\n \"insecure-registries\": \"a\"}":                  `:2: "insecure-registries" is not what belongs there`,
		"{\n \"registry-mirrors\":\n  {\"a\": 1}}":             `"registry-mirrors" is not what belongs there`,
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := readConfig(path, true); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
}
