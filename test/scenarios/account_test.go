package scenarios

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"lus/test/need"
	"lus/test/stack"
)

const goodPassword = "a good password"

// hub is a registry with TLS and accounts, and a person who uses it.
type hub struct {
	*stack.Stack
	t     *testing.T
	host  string // 127.0.0.1:PORT
	certs string // a folder as clients want it, with ca.crt
	http  *http.Client
}

// newHub makes one with the users me and you.
func newHub(t *testing.T) *hub {
	t.Helper()
	h := &hub{Stack: stack.Start(t), t: t, certs: t.TempDir()}
	for _, user := range []string{"me", "you"} {
		h.user(user)
	}
	h.host = h.OK(t, "registry", "enable", "127.0.0.1:0", "--tls")
	h.OK(t, "registry", "ca", "-o", filepath.Join(h.certs, "ca.crt"))
	text, err := os.ReadFile(filepath.Join(h.certs, "ca.crt"))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(text) {
		t.Fatalf("no certificate: %s", text)
	}
	h.http = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}
	t.Cleanup(h.http.CloseIdleConnections)
	return h
}

func (h *hub) user(name string) {
	h.t.Helper()
	h.Do(strings.NewReader(goodPassword+"\n"), filepath.Join(h.Bin, "lus"), "account", "create", "--password-stdin", name).Want(h.t, 0)
}

// push puts busybox into a repository, as its owner by lus, and returns the
// digest.
func (h *hub) push(repository string) string {
	h.t.Helper()
	owner, _, _ := strings.Cut(repository, "/")
	h.login(owner)
	h.OK(h.t, "tag", "busybox", h.host+"/"+repository)
	out := h.OK(h.t, "push", h.host+"/"+repository)
	_, digest, ok := strings.Cut(out, "digest: ")
	if !ok {
		h.t.Fatalf("no digest in %s", out)
	}
	digest, _, _ = strings.Cut(digest, " ")
	return digest
}

func (h *hub) login(user string) {
	h.t.Helper()
	h.Do(strings.NewReader(goodPassword), filepath.Join(h.Bin, "lus"), "login", "-u", user, "--password-stdin", h.host).Want(h.t, 0)
}

// ask makes a request with what authorization says ("me", a Bearer token, or
// nothing) and returns the answer's status and body.
func (h *hub) ask(method, path, authorization string) (int, http.Header, string) {
	h.t.Helper()
	r, err := http.NewRequest(method, "https://"+h.host+path, nil)
	if err != nil {
		h.t.Fatal(err)
	}
	switch {
	case strings.HasPrefix(authorization, "Bearer "):
		r.Header.Set("Authorization", authorization)
	case authorization != "":
		user, password, ok := strings.Cut(authorization, ":")
		if !ok {
			password = goodPassword
		}
		r.SetBasicAuth(user, password)
	}
	resp, err := h.http.Do(r)
	if err != nil {
		h.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		h.t.Fatal(err)
	}
	return resp.StatusCode, resp.Header, string(body)
}

// want expects a status.
func (h *hub) want(status int, method, path, authorization string) http.Header {
	h.t.Helper()
	got, header, body := h.ask(method, path, authorization)
	if got != status {
		h.t.Errorf("%s %s as %.20q: %d, want %d: %s", method, path, authorization, got, status, body)
	}
	return header
}

// bearer asks for a token.
func (h *hub) bearer(who string, scopes ...string) string {
	h.t.Helper()
	q := url.Values{"service": {"lus-registry"}, "scope": scopes}
	status, _, body := h.ask("GET", "/token?"+q.Encode(), who)
	var a struct{ Token string }
	if err := json.Unmarshal([]byte(body), &a); err != nil || status != http.StatusOK || a.Token == "" {
		h.t.Fatalf("no token for %q: %d %s", who, status, body)
	}
	return "Bearer " + a.Token
}

func TestS63LoginPushPull(t *testing.T) {
	t.Parallel()
	h := newHub(t)
	docker := dockerClient(t)
	do := func(stdin string, args ...string) stack.Result {
		return h.Do(strings.NewReader(stdin), docker, args...)
	}
	wrong := do("not my password", "login", "-u", "me", "--password-stdin", h.host)
	wrong.Want(t, 1)
	stack.Says(t, wrong.Err, "unauthorized")
	h.want(http.StatusUnauthorized, "GET", "/token", "me:not my password")
	h.want(http.StatusUnauthorized, "GET", "/v2/", "me:not my password")
	nobody := h.want(http.StatusUnauthorized, "GET", "/v2/", "")
	if got := nobody.Get("Www-Authenticate"); got != `Bearer realm="https://`+h.host+`/token",service="lus-registry"` {
		t.Errorf("the challenge is %s", got)
	}

	stack.Says(t, do(goodPassword, "login", "-u", "me", "--password-stdin", h.host).Want(t, 0), "Login Succeeded")
	kept, err := os.ReadFile(filepath.Join(filepath.Dir(h.Root), "docker", "config.json"))
	if err != nil || !strings.Contains(string(kept), `"identitytoken": "lus_`) || strings.Contains(string(kept), base64.StdEncoding.EncodeToString([]byte("me:"+goodPassword))) {
		t.Errorf("the client keeps %s (%v), and not a token instead of the password", kept, err)
	}
	mine, yours := h.host+"/me/app:1", h.host+"/you/app:1"
	do("", "tag", "busybox", mine).Want(t, 0)
	do("", "tag", "busybox", yours).Want(t, 0)
	pushed := do("", "push", mine).Want(t, 0)
	do("", "rmi", mine).Want(t, 0)
	pulled := do("", "pull", mine).Want(t, 0)
	_, digest, _ := strings.Cut(pushed, "digest: ")
	digest, _, _ = strings.Cut(digest, " ")
	if len(digest) != 71 {
		t.Fatalf("no digest in %s", pushed)
	}
	stack.Says(t, pulled, "Digest: "+digest)

	denied := do("", "push", yours)
	denied.Want(t, 1)
	stack.Says(t, denied.Err, "denied", h.host+" does not let this user push to "+h.host+"/you/app")
	h.want(http.StatusForbidden, "PUT", "/v2/you/app/manifests/1", "me")
	h.want(http.StatusForbidden, "POST", "/v2/you/app/blobs/uploads/", h.bearer("me", "repository:you/app:pull,push"))

	do("", "logout", h.host).Want(t, 0)
	out := do("", "push", mine)
	out.Want(t, 1)
	stack.Says(t, out.Err, "authentication required", "lus login "+h.host)
	t.Run("skopeo", func(t *testing.T) { h.skopeo(t, digest) })
	t.Run("podman", func(t *testing.T) { h.podman(t, digest) })
	for _, secret := range []string{goodPassword, "not my password", "eyJ"} {
		if log := h.DaemonLog(100000); strings.Contains(log, secret) {
			t.Errorf("the daemon's log has %q", secret)
		}
	}
}

func (h *hub) skopeo(t *testing.T, digest string) {
	skopeo := need.Program(t, "skopeo", "skopeo")
	auth := filepath.Join(t.TempDir(), "auth.json")
	do := func(args ...string) stack.Result { return h.Do(nil, skopeo, args...) }
	do("login", "--authfile", auth, "--cert-dir", h.certs, "-u", "me", "-p", "not my password", h.host).Want(t, 1)
	do("login", "--authfile", auth, "--cert-dir", h.certs, "-u", "me", "-p", goodPassword, h.host).Want(t, 0)
	dir := t.TempDir()
	do("copy", "--authfile", auth, "--src-cert-dir", h.certs, "docker://"+h.host+"/me/app:1", "dir:"+dir).Want(t, 0)
	do("copy", "--authfile", auth, "--dest-cert-dir", h.certs, "dir:"+dir, "docker://"+h.host+"/me/copy:1").Want(t, 0)
	got := do("inspect", "--authfile", auth, "--cert-dir", h.certs, "--format", "{{.Digest}}", "docker://"+h.host+"/me/copy:1").Want(t, 0)
	if got != digest {
		t.Errorf("the copy is %s, want %s", got, digest)
	}
	denied := do("copy", "--authfile", auth, "--dest-cert-dir", h.certs, "dir:"+dir, "docker://"+h.host+"/you/app:1")
	denied.Want(t, 1)
	stack.Says(t, denied.Err, "403")
	nobody := do("inspect", "--no-creds", "--cert-dir", h.certs, "docker://"+h.host+"/me/app:1")
	nobody.Want(t, 1)
	stack.Says(t, nobody.Err, "unauthorized")
	do("delete", "--authfile", auth, "--cert-dir", h.certs, "docker://"+h.host+"/me/copy:1").Want(t, 0)
	do("inspect", "--authfile", auth, "--cert-dir", h.certs, "docker://"+h.host+"/me/copy:1").Want(t, 1)
	do("inspect", "--authfile", auth, "docker://"+h.host+"/me/app:1").Want(t, 1) // the authority is not trusted
}

func (h *hub) podman(t *testing.T, digest string) {
	podman := need.Program(t, "podman", "podman")
	dir := t.TempDir()
	auth := filepath.Join(dir, "auth.json")
	do := func(args ...string) stack.Result {
		return h.Do(nil, podman, append([]string{"--root", filepath.Join(dir, "root"), "--runroot", filepath.Join(dir, "run"), "--storage-driver", "vfs"}, args...)...)
	}
	do("login", "--authfile", auth, "--cert-dir", h.certs, "-u", "me", "-p", "not my password", h.host).Want(t, 125)
	do("login", "--authfile", auth, "--cert-dir", h.certs, "-u", "me", "-p", goodPassword, h.host).Want(t, 0)
	mine := h.host + "/me/app:1"
	do("pull", "-q", "--authfile", auth, "--cert-dir", h.certs, mine).Want(t, 0)
	if got := do("image", "inspect", "--format", "{{.Digest}}", mine).Want(t, 0); got != digest {
		t.Errorf("podman pulled %s, want %s", got, digest)
	}
	do("push", "-q", "--authfile", auth, "--cert-dir", h.certs, mine, h.host+"/me/podman:1").Want(t, 0)
	denied := do("push", "-q", "--authfile", auth, "--cert-dir", h.certs, mine, h.host+"/you/podman:1")
	denied.Want(t, 125)
	stack.Says(t, denied.Err, "403")
}

// What somebody may not see is not told to be there, and rights end at once.
func TestRegistryTellsNothingToOthers(t *testing.T) {
	t.Parallel()
	h := newHub(t)
	h.push("you/secret:1")
	digest := h.push("me/app:1")
	h.OK(t, "account", "grant", "anonymous", "read", "registry:pub/*")

	// The same answer for what is there and what is not.
	for _, path := range []string{"/v2/you/secret/manifests/1", "/v2/you/none/manifests/1", "/v2/you/secret/tags/list", "/v2/you/secret/blobs/" + digest} {
		h.want(http.StatusForbidden, "GET", path, "me")
		h.want(http.StatusForbidden, "GET", path, h.bearer("me", "repository:you/secret:pull", "repository:you/none:pull"))
		h.want(http.StatusUnauthorized, "GET", path, "")
		h.want(http.StatusUnauthorized, "GET", path, h.bearer("", "repository:you/secret:pull"))
	}
	h.want(http.StatusNotFound, "GET", "/v2/pub/none/manifests/1", h.bearer("", "repository:pub/none:pull"))

	// A token is good for what it was asked for, and not for what sounds alike.
	token := h.bearer("me", "repository:me/app:pull")
	h.want(http.StatusOK, "GET", "/v2/me/app/manifests/1", token)
	for _, path := range []string{"/v2/me/app/sub/manifests/1", "/v2/me/ap/manifests/1", "/v2/me/manifests/1"} {
		got, header, _ := h.ask("GET", path, token)
		if path != "/v2/me/manifests/1" && (got != http.StatusUnauthorized || !strings.Contains(header.Get("Www-Authenticate"), `error="insufficient_scope"`)) || got == http.StatusOK {
			t.Errorf("%s: %d, %s", path, got, header)
		}
	}
	h.want(http.StatusUnauthorized, "POST", "/v2/me/app/blobs/uploads/", token) // it is for reading
	for _, scope := range []string{"repository:*:*", "repository:me/*:*", "repository:you/secret/../../me/app:pull", "repository(x):you/secret:*", "repository:you/secret:pull repository:me/app:pull"} {
		h.want(http.StatusForbidden, "GET", "/v2/you/secret/manifests/1", h.bearer("me", scope))
	}

	// A blob is not mounted from where one may not read.
	config := h.configOf("you/secret", "1", "you")
	header := h.want(http.StatusAccepted, "POST", "/v2/me/app/blobs/uploads/?mount="+h.uniqueBlob(t)+"&from=you/secret", h.bearer("me", "repository:me/app:pull,push", "repository:you/secret:pull"))
	if header.Get("Docker-Content-Digest") != "" {
		t.Error("a blob was mounted that may not be read")
	}
	h.want(http.StatusForbidden, "HEAD", "/v2/you/secret/blobs/"+config, "me")

	// The catalogue shows what one may read.
	for who, want := range map[string]string{"me": "me/app", "you": "you/secret,you/unique", "": ""} {
		_, _, body := h.ask("GET", "/v2/_catalog", h.bearer(who, "registry:catalog:*"))
		var got struct{ Repositories []string }
		if err := json.Unmarshal([]byte(body), &got); err != nil || strings.Join(got.Repositories, ",") != want {
			t.Errorf("%q sees %s, want %s", who, body, want)
		}
	}
	h.want(http.StatusUnauthorized, "GET", "/v2/_catalog", token)
	h.want(http.StatusUnauthorized, "GET", "/v2/_catalog", "")

	h.rightsEnd(t)
}

// uniqueBlob is the digest of a layer that only you/unique has.
func (h *hub) uniqueBlob(t *testing.T) string {
	t.Helper()
	h.Build(t, h.host+"/you/unique:1", map[string]string{"Dockerfile": "FROM busybox\nCOPY secret /\n", "secret": t.Name() + h.Root})
	h.login("you")
	h.OK(t, "push", h.host+"/you/unique:1")
	_, _, body := h.ask("GET", "/v2/you/unique/manifests/1", "you")
	var m struct{ Layers []struct{ Digest string } }
	if err := json.Unmarshal([]byte(body), &m); err != nil || len(m.Layers) < 2 {
		t.Fatalf("the manifest: %s", body)
	}
	return m.Layers[len(m.Layers)-1].Digest
}

func (h *hub) configOf(repository, tag, who string) string {
	h.t.Helper()
	_, _, body := h.ask("GET", "/v2/"+repository+"/manifests/"+tag, who)
	var m struct{ Config struct{ Digest string } }
	if err := json.Unmarshal([]byte(body), &m); err != nil || m.Config.Digest == "" {
		h.t.Fatalf("the manifest: %s", body)
	}
	return m.Config.Digest
}

// rightsEnd takes rights back under tokens that are still good.
func (h *hub) rightsEnd(t *testing.T) {
	path := "/v2/you/secret/manifests/1"
	h.OK(t, "account", "grant", "me", "read", "registry:you/secret")
	token := h.bearer("me", "repository:you/secret:pull")
	h.want(http.StatusOK, "GET", path, token)
	h.OK(t, "account", "revoke", "me", "registry:you/secret")
	h.want(http.StatusForbidden, "GET", path, token)

	personal := h.OK(t, "account", "token", "create", "--scope", "registry:me/app:read", "me")
	token = h.bearer("me:"+personal, "repository:me/app:pull,push")
	h.want(http.StatusOK, "GET", "/v2/me/app/manifests/1", token)
	h.want(http.StatusForbidden, "POST", "/v2/me/app/blobs/uploads/", token)
	h.want(http.StatusForbidden, "POST", "/v2/me/app/blobs/uploads/", "me:"+personal)
	h.OK(t, append([]string{"account", "token", "rm"}, strings.Fields(h.OK(t, "account", "token", "ls", "-q", "me"))...)...)
	h.want(http.StatusUnauthorized, "GET", "/v2/me/app/manifests/1", token)

	token = h.bearer("me", "repository:me/app:pull")
	h.OK(t, "account", "disable", "me")
	h.want(http.StatusUnauthorized, "GET", "/v2/me/app/manifests/1", token)
	h.want(http.StatusUnauthorized, "GET", "/token", "me")
	h.OK(t, "account", "enable", "me")
	h.OK(t, "account", "rm", "-f", "me")
	stack.Says(t, h.Do(strings.NewReader(goodPassword), filepath.Join(h.Bin, "lus"), "account", "create", "--password-stdin", "me").Err, "--take-over")
	h.OK(t, "account", "create", "--no-password", "--take-over", "me")
	h.want(http.StatusUnauthorized, "GET", "/v2/me/app/manifests/1", token)

	// Guessing is held up, and says for how long.
	var header http.Header
	status := 0
	for range 30 {
		if status, header, _ = h.ask("GET", "/token", "you:not my password"); status != http.StatusUnauthorized {
			break
		}
	}
	if status != http.StatusTooManyRequests || header.Get("Retry-After") == "" {
		t.Errorf("after thirty guesses: %d, %v", status, header)
	}
}

// What was acknowledged is there after the daemon's death, and what was not can
// be done again.
func TestAccountsSurviveTheDaemon(t *testing.T) {
	t.Parallel()
	s := stack.Idle(t)
	s.StartDaemon(t)
	s.OK(t, "account", "create", "--no-password", "first")
	var mu sync.Mutex
	made := map[string]string{}
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range 50 {
				name := fmt.Sprintf("u%d-%d", g, i)
				if s.Lus("account", "create", "--no-password", name).Code != 0 {
					return
				}
				r := s.Lus("account", "token", "create", name)
				if r.Code != 0 {
					return
				}
				mu.Lock()
				made[name] = strings.TrimSpace(r.Out)
				done := len(made) == 12
				mu.Unlock()
				if done {
					s.Kill()
				}
			}
		})
	}
	wg.Wait()
	s.StartDaemon(t)
	host := s.OK(t, "registry", "enable", "127.0.0.1:0")
	users := strings.Fields(s.OK(t, "account", "ls", "-q"))
	for name, token := range made {
		r, err := http.NewRequest("GET", "http://"+host+"/v2/", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.SetBasicAuth(name, token)
		if status, body := stack.Do(r); status != http.StatusOK {
			t.Errorf("%s was told to be made: %d %s", name, status, body)
		}
	}
	if len(made) < 12 || len(users) < len(made)+1 {
		t.Errorf("%d users were made, %d are there", len(made), len(users))
	}
	for g := range 4 { // whoever was being made can be made again, or is there
		for i := range 50 {
			name := fmt.Sprintf("u%d-%d", g, i)
			if made[name] != "" {
				continue
			}
			if r := s.Lus("account", "create", "--no-password", name); r.Code != 0 && !strings.Contains(r.Err, "already") {
				t.Errorf("%s: %s", name, r.All())
			}
			break
		}
	}
}

// Passwords do not go over a network in the clear unless somebody asked for it.
func TestTheRegistrysListenerSpeaksTLS(t *testing.T) {
	t.Parallel()
	s := stack.Idle(t)
	s.StartDaemon(t)
	s.OK(t, "registry", "enable", "127.0.0.1:0")
	stack.Says(t, s.OK(t, "registry", "status"), "without TLS")
	host := s.OK(t, "registry", "enable", "0.0.0.0:0")
	stack.Says(t, s.OK(t, "registry", "status"), "with TLS")
	address, port, _ := strings.Cut(host, ":")
	if address != "0.0.0.0" {
		t.Errorf("0.0.0.0 was asked for, and it listens at %s", host)
	}
	r, err := http.NewRequest("GET", "http://127.0.0.1:"+port+"/v2/", nil)
	if err != nil {
		t.Fatal(err)
	}
	if status, body := stack.Do(r); status != http.StatusBadRequest {
		t.Errorf("plain HTTP is answered with %d %s", status, body)
	}
	ca := s.Lus("registry", "ca")
	stack.Says(t, ca.Want(t, 0), "BEGIN CERTIFICATE")
	stack.Says(t, ca.Err, "/etc/docker/certs.d/", ":"+port+"/ca.crt")
	plain := s.Lus("registry", "enable", "0.0.0.0:"+stack.Port(t), "--insecure")
	plain.Want(t, 0)
	stack.Says(t, plain.Err, "WARNING!")
	stack.Says(t, s.Fail(t, 1, "registry", "enable", "0.0.0.0:0", "--tls-cert", "/nonexistent"), "absolute path")
	stack.Says(t, s.Fail(t, 1, "registry", "enable", "0.0.0.0:0", "--tls-cert", "/nonexistent", "--tls-key", "/nonexistent"), "/nonexistent")
	stack.Says(t, s.OK(t, "registry", "status"), "without TLS") // what cannot be had changed nothing

	// The same port, by another address, and one that somebody else has.
	_, port, _ = net.SplitHostPort(strings.TrimSpace(plain.Out))
	if got := s.OK(t, "registry", "enable", "127.0.0.1:"+port, "--tls"); got != "127.0.0.1:"+port {
		t.Errorf("it listens at %s", got)
	}
	other, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	stack.Says(t, s.Fail(t, 1, "registry", "enable", other.Addr().String()), "choose another address or port")
	stack.Says(t, s.OK(t, "registry", "status"), "listens at 127.0.0.1:"+port+" with TLS")
	s.Kill()
	s.StartDaemon(t)
	stack.Eventually(t, "the registry listens again", func() bool {
		return strings.Contains(s.OK(t, "registry", "status"), "listens at 127.0.0.1:"+port+" with TLS")
	})
}
