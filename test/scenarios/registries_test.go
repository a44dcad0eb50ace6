package scenarios

import (
	"encoding/pem"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"lus/test/stack"
)

// configure writes the daemon's configuration file.
func configure(t *testing.T, s *stack.Stack, text string) string {
	t.Helper()
	if err := os.MkdirAll(s.Root, 0o710); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(s.Root, "daemon.json")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestMirrorsAreAskedFirstAndMayBeDown(t *testing.T) {
	t.Parallel()
	origin, mirror := stack.Registry(t), stack.Registry(t)
	stack.PushBusybox(t, origin+"/both:1", "origin")
	stack.PushBusybox(t, mirror+"/both:1", "mirror")
	stack.PushBusybox(t, origin+"/one:1", "origin")
	s := stack.Idle(t)
	// The first mirror is down, the second has not everything.
	configure(t, s, fmt.Sprintf(`{"registry-mirrors": {%q: ["http://127.0.0.1:1", "http://%s"]}}`, origin, mirror))
	s.StartDaemon(t)
	for ref, want := range map[string]string{"both:1": "[mirror]", "one:1": "[origin]"} {
		s.OK(t, "pull", origin+"/"+ref)
		if got := s.OK(t, "inspect", "-f", "{{.Config.Cmd}}", origin+"/"+ref); got != want {
			t.Errorf("%s is the one of %s, want %s", ref, got, want)
		}
	}
	// Builds go the same way.
	s.OK(t, "rmi", origin+"/both:1")
	s.Build(t, "built", map[string]string{"Dockerfile": "FROM " + origin + "/both:1\n"}).Want(t, 0)
	if got := s.OK(t, "inspect", "-f", "{{.Config.Cmd}}", "built"); got != "[mirror]" {
		t.Errorf("a build took the one of %s", got)
	}
}

func TestAWrongConfigurationKeepsTheDaemonFromStarting(t *testing.T) {
	t.Parallel()
	s := stack.Idle(t)
	for text, want := range map[string]string{
		"{\n  \"insecure-registries\": [\"a\",]\n}": ":2: this is no JSON",
		"{\n\n\"insecure\": true}":                  `:3: "insecure" is not known`,
		`{"registry-mirrors": ["ftp://x"]}`:         `the mirror "ftp://x"`,
	} {
		path := configure(t, s, text)
		if err := s.Up(); err == nil {
			t.Fatalf("the daemon starts with %s", text)
		}
		stack.Says(t, s.DaemonLog(1), path, want)
	}
	configure(t, s, "{}")
	s.StartDaemon(t)
}

// A registry that others reach is trusted by its own engine, and plain HTTP off
// this host is spoken only with those that were named.
func TestOwnRegistryByAnAddressOfTheHost(t *testing.T) {
	t.Parallel()
	s := stack.Start(t)
	s.OK(t, "run", "-d", "--name", "up", "busybox", "sleep", "1000") // the bridge is there
	gateway := s.OK(t, "network", "inspect", "-f", "{{(index .IPAM.Config 0).Gateway}}", "bridge")
	s.OK(t, "account", "create", "--no-password", "me")
	token := s.OK(t, "account", "token", "create", "--scope", "all", "me")
	enable := func(args ...string) (host string) {
		at := s.OK(t, append([]string{"registry", "enable", gateway + ":0"}, args...)...)
		s.Do(strings.NewReader(token), filepath.Join(s.Bin, "lus"), "login", "-u", "me", "--password-stdin", at)
		return at
	}
	host := enable()
	s.OK(t, "tag", "busybox", host+"/me/app:1")
	s.OK(t, "push", host+"/me/app:1")
	s.OK(t, "pull", host+"/me/app:1")
	if status, _ := stack.Get(host[strings.LastIndex(host, ":")+1:], "/v2/"); status == http.StatusOK {
		t.Error("it answers elsewhere too")
	}
	host = enable("--insecure")
	s.OK(t, "tag", "busybox", host+"/me/app:1")
	s.Fail(t, 1, "push", host+"/me/app:1")
	s.Fail(t, 1, "pull", host+"/me/app:1")
	s.Stop()
	configure(t, s, fmt.Sprintf(`{"insecure-registries": ["%s/32"]}`, gateway))
	s.StartDaemon(t)
	host = enable("--insecure")
	s.OK(t, "tag", "busybox", host+"/me/app:1")
	s.OK(t, "push", host+"/me/app:1")
}

// A registry that ours fetches from is believed by the certificates that pulls go
// by, also those that come while the daemon runs.
func TestTheRegistryBehindOursMayHaveItsOwnAuthority(t *testing.T) {
	t.Parallel()
	inner := stack.Registry(t)
	stack.PushBusybox(t, inner+"/app:1", "sh")
	target, err := url.Parse("http://" + inner)
	if err != nil {
		t.Fatal(err)
	}
	far := httptest.NewUnstartedServer(httputil.NewSingleHostReverseProxy(target))
	far.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	far.StartTLS()
	t.Cleanup(far.Close)
	s := stack.Idle(t)
	s.StartDaemon(t)
	host := enabled(t, s)
	s.OK(t, "registry", "upstream", "before", far.URL)
	_, why := stack.Get(host[len("localhost:"):], "/v2/before/app/manifests/1")
	stack.Says(t, why, "its certificate is not trusted", "certs.d")
	dir := filepath.Join(s.Root, "certs.d", strings.TrimPrefix(far.URL, "https://"))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	authority := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: far.Certificate().Raw})
	if err := os.WriteFile(filepath.Join(dir, "ca.crt"), authority, 0o644); err != nil {
		t.Fatal(err)
	}
	s.OK(t, "registry", "upstream", "after", far.URL)
	s.OK(t, "pull", host+"/after/app:1")
}
