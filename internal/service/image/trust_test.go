package image

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"lus/internal/base/errs"
	"lus/internal/model/image"
)

// internet is a server that stands for every host: it answers by the name that
// was asked, and remembers who was told a secret.
type internet struct {
	*httptest.Server
	mu   sync.Mutex
	told map[string]bool // hosts
	seen map[string]bool
}

// secrets are what must not be seen by others.
const password, bearer = "s3cret-password", "s3cret-token"

func newInternet(t *testing.T, hosts map[string]http.HandlerFunc) *internet {
	t.Helper()
	i := &internet{told: map[string]bool{}, seen: map[string]bool{}}
	i.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(strings.NewReader(string(body)))
		_, pass, _ := r.BasicAuth()
		i.mu.Lock()
		i.seen[r.Host] = true
		if pass == password || strings.Contains(string(body), password) || strings.Contains(r.Header.Get("Authorization"), bearer) {
			i.told[r.Host] = true
		}
		i.mu.Unlock()
		if h := hosts[r.Host]; h != nil {
			h(w, r)
			return
		}
		http.NotFound(w, r)
	}))
	t.Cleanup(i.Close)
	return i
}

// registries are reached through this internet alone.
func (i *internet) registries() Registries {
	pool := i.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	dial := func(ctx context.Context, network, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, network, i.Listener.Addr().String())
	}
	strict := wire(&tls.Config{RootCAs: pool, ServerName: "example.com", MinVersion: tls.VersionTLS12})
	strict.DialContext, strict.Proxy = dial, nil
	return Registries{shared: &connections{strict: strict, lenient: strict, limits: Limits{Stall: time.Minute, Pause: time.Millisecond}}}
}

func (i *internet) knows(host string) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.told[host]
}

// fetch asks reg.example for a blob with credentials.
func (i *internet) fetch(t *testing.T, a *image.Auth) (string, error) {
	t.Helper()
	f, err := docker.NewResolver(i.registries().resolver("reg.example", a)).Fetcher(t.Context(), "reg.example/app:1")
	if err != nil {
		t.Fatal(err)
	}
	desc := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayer, Digest: digest.FromString("blob"), Size: 4}
	rc, err := f.Fetch(t.Context(), desc)
	if err != nil {
		return "", err
	}
	defer rc.Close()
	text, err := io.ReadAll(rc)
	return string(text), err
}

func challenge(w http.ResponseWriter, header string) {
	w.Header().Set("WWW-Authenticate", header)
	w.WriteHeader(http.StatusUnauthorized)
}

// behindToken lets in who has the token and sends others to the realm.
func behindToken(realm string, then http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") == "Bearer "+bearer {
			then(w, r)
			return
		}
		challenge(w, `Bearer realm="`+realm+`",service="s"`)
	}
}

func sendBlob(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "blob") }

func sendToken(w http.ResponseWriter, _ *http.Request) {
	fmt.Fprintf(w, `{"token":%q,"access_token":%q}`, bearer, bearer)
}

func redirect(to string, code int) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, to, code) }
}

// Where a password may go: to the server of tokens that a registry names, by
// TLS, and not from there to others.
func TestPasswordsGoToNobodyElse(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, realm string
		token       http.HandlerFunc // of auth.example
		works       bool
		says        string
	}{
		{"a server of tokens", "https://auth.example/token", sendToken, true, ""},
		{"without TLS", "http://auth.example/token", sendToken, false, "without TLS"},
		{"at the registry, without TLS", "http://reg.example/token", sendToken, false, "without TLS"},
		{"at this host, without TLS", "http://127.0.0.1:1/token", sendToken, false, "without TLS"},
		{"no address", "token", sendToken, false, "which is no address"},
		{"none", "", sendToken, false, "which is no address"},
		{"another scheme", "file:///etc/passwd", sendToken, false, "which is no address"},
		{"with a name in it", "https://auth.example@evil.example/token", sendToken, false, "which is no address"},
		{"one that leads on", "https://auth.example/token", redirect("https://evil.example/token", http.StatusTemporaryRedirect), false, "must not see the password"},
		{"one that leads on by GET", "https://auth.example/token", redirect("https://evil.example/token", http.StatusFound), false, "must not see the password"},
		{"one that leads to plain HTTP", "https://auth.example/token", redirect("http://auth.example/token", http.StatusTemporaryRedirect), false, "must not see the password"},
		{"one that leads to itself", "https://auth.example/token", redirect("https://auth.example/token", http.StatusTemporaryRedirect), false, "redirects"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			i := newInternet(t, map[string]http.HandlerFunc{
				"reg.example": behindToken(c.realm, sendBlob), "auth.example": c.token, "evil.example": sendToken,
			})
			text, err := i.fetch(t, &image.Auth{Username: "ann", Password: password})
			if i.knows("evil.example") {
				t.Error("another server was told the password")
			}
			if (err == nil) != c.works || c.works && text != "blob" {
				t.Fatalf("%q, %v", text, err)
			}
			if !c.works && !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v; want %q", err, c.says)
			}
			if err != nil && strings.Contains(err.Error(), password) {
				t.Error("the error tells the password")
			}
		})
	}
}

// What a redirect leads to sees no credentials, as blob stores at other hosts
// must not and need not.
func TestRedirectsLoseTheCredentials(t *testing.T) {
	t.Parallel()
	for name, to := range map[string]string{
		"another host": "https://cdn.example/x", "a host below": "https://cdn.reg.example/x", "another port": "https://reg.example:8443/x",
	} {
		for kind, a := range map[string]*image.Auth{
			"password": {Username: "ann", Password: password}, "identity": {IdentityToken: password}, "token": {RegistryToken: bearer},
		} {
			t.Run(name+" "+kind, func(t *testing.T) {
				t.Parallel()
				at := strings.TrimSuffix(strings.TrimPrefix(to, "https://"), "/x")
				i := newInternet(t, map[string]http.HandlerFunc{
					"reg.example":  behindToken("https://auth.example/token", redirect(to, http.StatusTemporaryRedirect)),
					"auth.example": sendToken, at: sendBlob,
				})
				text, err := i.fetch(t, a)
				if err != nil || text != "blob" {
					t.Fatalf("%q, %v", text, err)
				}
				if i.knows(at) {
					t.Errorf("%s was told the credentials", at)
				}
				if !i.knows("reg.example") {
					t.Error("the registry itself was not told")
				}
			})
		}
	}
	// This host's own services, which may be asked without TLS, are not for others to lead to.
	for _, to := range []string{"http://reg.example/x", "http://cdn.example/x", "http://169.254.169.254/latest", "http://127.0.0.1:5000/x", "http://localhost/x", "http://[::1]:80/x"} {
		i := newInternet(t, map[string]http.HandlerFunc{"reg.example": redirect(to, http.StatusFound), "cdn.example": sendBlob, "169.254.169.254": sendBlob, "127.0.0.1:5000": sendBlob, "localhost": sendBlob, "[::1]:80": sendBlob})
		_, err := i.fetch(t, nil)
		if !errs.Is(err, errs.Denied) || !strings.Contains(err.Error(), "without TLS") {
			t.Errorf("a redirect to %s: %v", to, err)
		}
	}
}

// Nor is a push led there, by a redirect or by where it is told to upload to.
func TestAPushIsNotLedToThisHost(t *testing.T) {
	t.Parallel()
	for what, h := range map[string]http.HandlerFunc{
		"a redirect": redirect("http://127.0.0.1:5000/v2/x/blobs/uploads/", http.StatusTemporaryRedirect),
		"a place to upload to": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Location", "http://127.0.0.1:5000/v2/x/blobs/uploads/1")
			w.WriteHeader(http.StatusAccepted)
		},
	} {
		i := newInternet(t, map[string]http.HandlerFunc{"reg.example": func(w http.ResponseWriter, r *http.Request) {
			if r.Method != http.MethodPost {
				http.NotFound(w, r)
				return
			}
			h(w, r)
		}})
		p, err := docker.NewResolver(i.registries().resolver("reg.example", nil)).Pusher(t.Context(), "reg.example/app:1")
		if err != nil {
			t.Fatal(err)
		}
		desc := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayer, Digest: digest.FromString("blob"), Size: 4}
		w, err := p.Push(t.Context(), desc)
		if err == nil {
			err = upload(t.Context(), w, desc, func() error {
				_, err := io.WriteString(w, "blob")
				return err
			})
			w.Close()
		}
		if !errs.Is(err, errs.Denied) || !strings.Contains(err.Error(), "without TLS") {
			t.Errorf("%s: %v", what, err)
		}
		i.mu.Lock()
		if i.seen["127.0.0.1:5000"] {
			t.Errorf("%s: this host was asked", what)
		}
		i.mu.Unlock()
	}
}

// What a wrong certificate or none leads to says what to do.
func TestARegistryWithoutTheRightCertificate(t *testing.T) {
	t.Parallel()
	named, err := parse("reg.example/app:1")
	if err != nil {
		t.Fatal(err)
	}
	ask := func(r Registries) error {
		_, _, err := docker.NewResolver(r.resolver("reg.example", nil)).Resolve(t.Context(), "reg.example/app:1")
		return pullError(named, nil, err)
	}
	to := func(at net.Addr) Registries {
		strict := wire(&tls.Config{MinVersion: tls.VersionTLS12})
		strict.Proxy = nil
		strict.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, network, at.String())
		}
		return Registries{shared: &connections{strict: strict, lenient: strict, limits: Limits{Stall: time.Minute, Pause: time.Millisecond}}}
	}
	i := newInternet(t, nil)
	err = ask(to(i.Listener.Addr()))
	if !errs.Is(err, errs.Unavailable) || !strings.Contains(err.Error(), "failed to verify certificate of the registry reg.example") || !strings.Contains(err.Error(), "insecure registries") {
		t.Errorf("a certificate of nobody's: %v", err)
	}
	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	err = ask(to(plain.Listener.Addr()))
	if !errs.Is(err, errs.Unavailable) || !strings.Contains(err.Error(), "http: server gave HTTP response to HTTPS client: ") || !strings.Contains(err.Error(), "add reg.example to the insecure registries") {
		t.Errorf("plain HTTP: %v", err)
	}
}

// What answers with something else than TLS is told as that, at a login too.
func TestWhatIsNoRegistry(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			fmt.Fprint(c, "<!DOCTYPE html>\n")
			c.Close()
		}
	}()
	client := &http.Client{Transport: wire(&tls.Config{MinVersion: tls.VersionTLS12})}
	_, err = client.Get("https://" + l.Addr().String() + "/v2/") //nolint:bodyclose,noctx // nothing comes
	for what, got := range map[string]error{"login": loginError("reg.example", "https://reg.example/v2/", err), "pull": commonError("pull", "reg.example", err)} {
		if !errs.Is(got, errs.Unavailable) || !strings.Contains(got.Error(), "does not speak TLS") || !strings.Contains(got.Error(), "insecure registries") {
			t.Errorf("%s: %v", what, got)
		}
	}
}

func TestHowLongARegistryAsksToWait(t *testing.T) {
	t.Parallel()
	now := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	for text, want := range map[string]time.Duration{
		"7": 7 * time.Second, " 0 ": 0, "Wed, 02 Jan 2030 03:04:35 GMT": 30 * time.Second, "Wed, 02 Jan 2030 03:00:00 GMT": 0,
		"": -1, "soon": -1, "-5": -1, "99999999999999999999": -1, "1e3": -1,
	} {
		got, ok := retryAfter(http.Header{"Retry-After": {text}}, now)
		if ok != (want >= 0) || ok && got != want {
			t.Errorf("%q: %v, %v", text, got, ok)
		}
	}
}

// A registry that is busy is asked again no sooner than it says, and not at
// all where that is too long.
func TestABusyRegistryIsGivenItsTime(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var at []time.Time
	i := newInternet(t, map[string]http.HandlerFunc{"reg.example": func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		at = append(at, time.Now())
		n := len(at)
		mu.Unlock()
		if n == 1 {
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(http.StatusTooManyRequests)
			return
		}
		sendBlob(w, r)
	}})
	if text, err := i.fetch(t, nil); err != nil || text != "blob" {
		t.Fatalf("%q, %v", text, err)
	}
	if len(at) != 2 || at[1].Sub(at[0]) < time.Second {
		t.Errorf("asked %d times, at %v", len(at), at)
	}
	n := 0
	i = newInternet(t, map[string]http.HandlerFunc{"reg.example": func(w http.ResponseWriter, _ *http.Request) {
		n++
		w.Header().Set("Retry-After", "3600")
		w.WriteHeader(http.StatusTooManyRequests)
		fmt.Fprint(w, `{"errors":[{"code":"TOOMANYREQUESTS","message":"you have reached your limit"}]}`)
	}})
	_, err := i.fetch(t, nil)
	named, _ := parse("reg.example/app:1")
	err = pullError(named, nil, err)
	for _, want := range []string{"toomanyrequests", "you have reached your limit", "1h0m0s"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
	if n != 1 {
		t.Errorf("a registry that asks for an hour was asked %d times", n)
	}
}

// A pause ends with the pull.
func TestAPauseEndsWithThePull(t *testing.T) {
	t.Parallel()
	i := newInternet(t, map[string]http.HandlerFunc{"reg.example": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "50")
		w.WriteHeader(http.StatusServiceUnavailable)
	}})
	ctx, cancel := context.WithCancel(t.Context())
	ctx = noticing(ctx, func(wait time.Duration) {
		if wait != 50*time.Second {
			t.Errorf("told of %v", wait)
		}
		cancel()
	})
	_, _, err := docker.NewResolver(i.registries().resolver("reg.example", nil)).Resolve(ctx, "reg.example/app:1")
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}
