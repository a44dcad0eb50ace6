package cli_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// dockerConfig is a folder with a configuration file of docker's, for this test.
func dockerConfig(t *testing.T, text string) (file string) {
	t.Helper()
	dir := t.TempDir()
	t.Setenv("DOCKER_CONFIG", dir)
	file = filepath.Join(dir, "config.json")
	if text != "" {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return file
}

func TestLoginTriesWhatIsKept(t *testing.T) {
	const kept = `{"auths":{"r.example.com":{"auth":"bWU6c2VjcmV0"}}}`
	dockerConfig(t, kept)
	host := daemon(t, map[string]string{"POST /auth": `{"Status":"Login Succeeded","IdentityToken":""}`})
	code, out, errOut := lus(t, host, "login", "r.example.com")
	if code != 0 || !strings.Contains(out, "Login Succeeded") || !strings.Contains(errOut, "existing credentials") {
		t.Errorf("%d %q %q", code, out, errOut)
	}
	// A token that the registry gives for the password is kept instead.
	file := dockerConfig(t, kept)
	host = daemon(t, map[string]string{"POST /auth": `{"Status":"Login Succeeded","IdentityToken":"lus_abc_def"}`})
	code, out, errOut = lus(t, host, "login", "r.example.com")
	if text, err := os.ReadFile(file); code != 0 || err != nil || !strings.Contains(string(text), "lus_abc_def") || strings.Contains(string(text), "bWU6c2VjcmV0") {
		t.Errorf("%d %q %q: %s", code, out, errOut, text)
	}
	// What is refused is asked for anew, which needs a terminal.
	dockerConfig(t, kept)
	code, _, errOut = lus(t, daemon(t, map[string]string{"POST /auth": `401|{"message":"unauthorized"}`}), "login", "r.example.com")
	if code != 1 || !strings.Contains(errOut, "did not succeed") || !strings.Contains(errOut, "--password-stdin") {
		t.Errorf("%d %q", code, errOut)
	}
	// Nothing is kept for this one.
	code, _, errOut = lus(t, host, "login", "other.example.com")
	if code != 1 || strings.Contains(errOut, "existing") {
		t.Errorf("%d %q", code, errOut)
	}
}

func TestAPasswordInTheArgumentsIsWarnedOf(t *testing.T) {
	file := dockerConfig(t, "")
	host := daemon(t, map[string]string{"POST /auth": `{"Status":"Login Succeeded","IdentityToken":""}`})
	code, _, errOut := lus(t, host, "login", "-u", "me", "-p", "secret", "r.example.com")
	if code != 0 || !strings.Contains(errOut, "WARNING! Using --password via the CLI is insecure. Use --password-stdin.") {
		t.Errorf("%d %q", code, errOut)
	}
	if text, err := os.ReadFile(file); err != nil || !strings.Contains(string(text), "bWU6c2VjcmV0") {
		t.Errorf("%s, %v", text, err)
	}
}

func TestAnIdentityTokenIsKeptInsteadOfThePassword(t *testing.T) {
	file := dockerConfig(t, "")
	host := daemon(t, map[string]string{"POST /auth": `{"Status":"Login Succeeded","IdentityToken":"lus_abc_def"}`})
	if code, _, errOut := lus(t, host, "login", "-u", "me", "-p", "secret", "r.example.com"); code != 0 {
		t.Fatal(errOut)
	}
	text, err := os.ReadFile(file)
	if err != nil || !strings.Contains(string(text), `"identitytoken": "lus_abc_def"`) || strings.Contains(string(text), "bWU6c2VjcmV0") {
		t.Errorf("%s, %v", text, err)
	}
}

// Who asks docker to take signed images only is not given others without a word.
func TestContentTrustIsNotPretended(t *testing.T) {
	host := daemon(t, map[string]string{"POST /images/create": `{"status":"Status: Downloaded newer image for x:latest"}`, "GET /images/json": "[]"})
	for value, want := range map[string]bool{"": true, "0": true, "false": true, "1": false, "true": false, "yes": false} {
		t.Setenv("DOCKER_CONTENT_TRUST", value)
		code, out, errOut := lus(t, host, "pull", "x")
		if (code == 0) != want || !want && (!strings.Contains(errOut, "DOCKER_CONTENT_TRUST") || strings.Contains(out, "Downloaded")) {
			t.Errorf("%q: %d %q %q", value, code, out, errOut)
		}
		if code, _, errOut := lus(t, host, "pull", "--disable-content-trust", "x"); code != 0 {
			t.Errorf("%q, switched off: %d %q", value, code, errOut)
		}
		if code, _, errOut := lus(t, host, "images"); code != 0 {
			t.Errorf("%q, what takes no image: %d %q", value, code, errOut)
		}
	}
}
