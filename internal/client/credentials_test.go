package client

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"lus/internal/model/image"
)

// config makes a credential file and a folder for helpers in PATH.
func config(t *testing.T, text string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	t.Setenv("DOCKER_CONFIG", dir)
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	if text != "" {
		if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// me:secret, as the file keeps it.
const meSecret = "bWU6c2VjcmV0"

func TestCredentialsOfTheFile(t *testing.T) {
	config(t, `{"auths":{
		"https://index.docker.io/v1/":{"auth":"`+meSecret+`"},
		"ghcr.io":{"auth":"`+meSecret+`"},
		"https://old.example.com/v1/":{"username":"u","password":"p"},
		"token.example.com":{"auth":"bWU6","identitytoken":"tok"},
		"empty.example.com":{}}}`)
	for host, want := range map[string]image.Auth{
		"docker.io":         {Username: "me", Password: "secret"},
		"ghcr.io":           {Username: "me", Password: "secret"},
		"old.example.com":   {Username: "u", Password: "p"},
		"token.example.com": {Username: "me", IdentityToken: "tok"},
	} {
		got, err := Credentials(host)
		if err != nil || got == nil {
			t.Errorf("%s: %v, %v", host, got, err)
			continue
		}
		got.ServerAddress = ""
		if *got != want {
			t.Errorf("%s: %+v, want %+v", host, *got, want)
		}
	}
	for _, host := range []string{"empty.example.com", "other.example.com", "localhost:5000"} {
		if got, err := Credentials(host); got != nil || err != nil {
			t.Errorf("%s: %v, %v", host, got, err)
		}
	}
	all, err := AllCredentials(func(err error) { t.Error(err) })
	if err != nil || len(all) != 4 || all["docker.io"].Username != "me" {
		t.Errorf("all: %v, %v", all, err)
	}
}

func TestCredentialsOfAHelper(t *testing.T) {
	dir := config(t, `{"credsStore":"shop","credHelpers":{"special.example.com":"special"},"auths":{"filed.example.com":{"auth":"`+meSecret+`"}}}`)
	helper(t, dir, "shop", `read server; case $server in *index.docker.io*) echo '{"Username":"<token>","Secret":"tok"}';; *) echo 'credentials not found in native keychain'; exit 1;; esac`)
	helper(t, dir, "special", `read server; echo "{\"Username\":\"special\",\"Secret\":\"$server\"}"`)
	for host, want := range map[string]image.Auth{
		"docker.io":           {IdentityToken: "tok"},
		"special.example.com": {Username: "special", Password: "special.example.com"},
		"filed.example.com":   {Username: "me", Password: "secret"},
	} {
		got, err := Credentials(host)
		if err != nil || got == nil {
			t.Errorf("%s: %v, %v", host, got, err)
			continue
		}
		got.ServerAddress = ""
		if *got != want {
			t.Errorf("%s: %+v, want %+v", host, *got, want)
		}
	}
}

func helper(t *testing.T, dir, name, script string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, "docker-credential-"+name), []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
}

func TestBrokenCredentialFilesAreSaid(t *testing.T) {
	for what, text := range map[string]string{
		"not JSON":            `{"auths":`,
		"not base64":          `{"auths":{"x.example.com":{"auth":"***"}}}`,
		"no password":         `{"auths":{"x.example.com":{"auth":"bWU="}}}`,
		"a path for a helper": `{"credsStore":"../../bin/sh"}`,
		"a missing helper":    `{"credsStore":"is-not-there-at-all"}`,
	} {
		config(t, text)
		if got, err := Credentials("x.example.com"); err == nil {
			t.Errorf("%s: %v", what, got)
		}
	}
}

func TestABrokenHelperKeepsNobodyFromTheOthers(t *testing.T) {
	config(t, `{"credHelpers":{"broken.example.com":"is-not-there-at-all"},"auths":{"r.example.com":{"auth":"`+meSecret+`"},"bad.example.com":{"auth":"***"}}}`)
	var told []string
	all, err := AllCredentials(func(err error) { told = append(told, err.Error()) })
	if err != nil || len(all) != 1 || all["r.example.com"].Password != "secret" {
		t.Errorf("%v, %v", all, err)
	}
	if said := strings.Join(told, "\n"); len(told) != 2 || !strings.Contains(said, "broken.example.com") || !strings.Contains(said, "bad.example.com") {
		t.Errorf("told was %q", said)
	}
}

func TestLoginAndLogoutLeaveTheRestOfTheFile(t *testing.T) {
	dir := config(t, `{"auths":{"kept.example.com":{"auth":"`+meSecret+`"}},"psFormat":"table {{.ID}}","plugins":{"x":{"a":"b"}}}`)
	if _, err := StoreCredentials("docker.io", image.Auth{Username: "u", Password: "p"}); err != nil {
		t.Fatal(err)
	}
	got, err := Credentials("docker.io")
	if err != nil || got == nil || got.Username != "u" || got.Password != "p" {
		t.Fatalf("after the login: %v, %v", got, err)
	}
	path := filepath.Join(dir, "config.json")
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file's mode: %v, %v", info.Mode(), err)
	}
	if err := EraseCredentials("docker.io"); err != nil {
		t.Fatal(err)
	}
	if got, err := Credentials("docker.io"); got != nil || err != nil {
		t.Errorf("after the logout: %v, %v", got, err)
	}
	if err := EraseCredentials("docker.io"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a second logout: %v", err)
	}
	data, _ := os.ReadFile(path)
	var doc map[string]any
	if err := json.Unmarshal(data, &doc); err != nil || doc["psFormat"] != "table {{.ID}}" || !strings.Contains(string(data), "kept.example.com") || doc["plugins"] == nil {
		t.Errorf("the file is now %s", data)
	}
}

// A logout leaves nothing that a pull would find, whatever the client that logged in
// called the registry.
func TestALogoutForgetsTheRegistryUnderAllItsNames(t *testing.T) {
	for _, key := range []string{"r.example.com", "https://r.example.com", "http://r.example.com", "https://r.example.com/v1/", "https://r.example.com/v2/"} {
		dir := config(t, `{"auths":{"`+key+`":{"auth":"`+meSecret+`"},"kept.example.com":{"auth":"bWU6b3RoZXI="}}}`)
		if err := EraseCredentials("r.example.com"); err != nil {
			t.Errorf("%s: %v", key, err)
		}
		data, err := os.ReadFile(filepath.Join(dir, "config.json"))
		if err != nil || strings.Contains(string(data), meSecret) || !strings.Contains(string(data), "bWU6b3RoZXI=") {
			t.Errorf("%s: the file is now %s (%v)", key, data, err)
		}
	}
	// A new login takes the place of them all.
	dir := config(t, `{"auths":{"https://r.example.com/v1/":{"auth":"`+meSecret+`"}}}`)
	if _, err := StoreCredentials("r.example.com", image.Auth{Username: "me", IdentityToken: "tok"}); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(dir, "config.json"))
	if err != nil || strings.Contains(string(data), meSecret) || !strings.Contains(string(data), "tok") {
		t.Errorf("after a login the file is %s (%v)", data, err)
	}
}

func TestLoginWithAHelperKeepsNoSecretInTheFile(t *testing.T) {
	dir := config(t, `{"credsStore":"shop"}`)
	helper(t, dir, "shop", `case $1 in store) cat >"`+dir+`/stored";; erase) rm "`+dir+`/stored";; get) cat "`+dir+`/stored" 2>/dev/null || { echo credentials not found; exit 1; };; esac`)
	where, err := StoreCredentials("r.example.com", image.Auth{Username: "u", Password: "hidden"})
	if err != nil || where != "docker-credential-shop" {
		t.Fatalf("%s, %v", where, err)
	}
	data, _ := os.ReadFile(filepath.Join(dir, "config.json"))
	if strings.Contains(string(data), "hidden") {
		t.Errorf("the file has the secret: %s", data)
	}
	if got, err := Credentials("r.example.com"); err != nil || got == nil || got.Password != "hidden" {
		t.Errorf("%v, %v", got, err)
	}
	// Who wants all of them finds it too.
	if all, err := AllCredentials(func(err error) { t.Error(err) }); err != nil || all["r.example.com"].Password != "hidden" {
		t.Errorf("all: %v, %v", all, err)
	}
	if err := EraseCredentials("r.example.com"); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "stored")); !errors.Is(err, os.ErrNotExist) {
		t.Error("the helper still has it")
	}
}

func TestALoginLeavesWhatElseIsInTheFileAsItIs(t *testing.T) {
	dir := config(t, `{"psFormat":"<{{.ID}}> & more","big":12345678901234567890,"ratio":1.50}`)
	if _, err := StoreCredentials("r.example.com", image.Auth{Username: "me", Password: "secret"}); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(dir, "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"<{{.ID}}> & more"`, "12345678901234567890", "1.50", meSecret, "}\n"} {
		if !strings.Contains(string(data), want) {
			t.Errorf("%s is not in %s", want, data)
		}
	}
}
