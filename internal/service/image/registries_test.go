package image_test

import (
	"context"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"lus/internal/base/errs"
	model "lus/internal/model/image"
	"lus/internal/service/image"
)

// with opens the service anew with other registries.
func (w *world) with(r image.Registries) {
	w.t.Helper()
	s, err := image.New(image.Deps{Store: w.store, Users: w.users, Registries: r})
	if err != nil {
		w.t.Fatal(err)
	}
	w.Service = s
}

func TestMirrorIsAskedFirstAndTrustedWithNothing(t *testing.T) {
	w := newWorld(t)
	w.reg.push("library/app:1", imageOf(t, layer(t, entry{name: "f", text: "mirrored"})))
	var told []string
	w.reg.behind(func(_ http.ResponseWriter, r *http.Request) bool {
		if a := r.Header.Get("Authorization"); a != "" {
			told = append(told, a)
		}
		return false
	})
	w.with(image.Registries{Mirrors: map[string][]string{"docker.io": {"http://" + w.reg.host}}})
	auth := &model.Auth{Username: "ann", Password: "secret"}
	if err := w.PullImage(context.Background(), "app:1", "", auth, nil); err != nil {
		t.Fatal(err)
	}
	if got, _ := w.read("app:1", "f"); got != "mirrored" {
		t.Errorf("f is %q", got)
	}
	if len(told) != 0 {
		t.Errorf("the mirror was told %v", told)
	}
}

func TestRegistryBehindABrokenMirror(t *testing.T) {
	w := newWorld(t)
	broken := httptest.NewServer(http.NotFoundHandler())
	defer broken.Close()
	ref := w.reg.push("app:1", imageOf(t, layer(t, entry{name: "f", text: "x"})))
	w.with(image.Registries{Mirrors: map[string][]string{w.reg.host: {broken.URL}}})
	w.pull(ref)
}

func TestLoopbackRegistryMayHaveItsOwnCertificate(t *testing.T) {
	w := newWorld(t)
	server := httptest.NewTLSServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	defer server.Close()
	ref := strings.TrimPrefix(server.URL, "https://") + "/app:1"
	r, err := name.ParseReference(ref)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(r, imageOf(t, layer(t, entry{name: "f", text: "x"})), remote.WithTransport(server.Client().Transport)); err != nil {
		t.Fatal(err)
	}
	w.pull(ref)
}

func TestRegistriesThatMakeNoSense(t *testing.T) {
	w := newWorld(t)
	for _, mirror := range []string{"mirror.example", "ftp://mirror.example", "://", ""} {
		_, err := image.New(image.Deps{Store: w.store, Registries: image.Registries{Mirrors: map[string][]string{"docker.io": {mirror}}}})
		if !errs.Is(err, errs.Invalid) {
			t.Errorf("mirror %q: %v", mirror, err)
		}
	}
}

func TestOnlyWhoMayIsReachedWithoutTLS(t *testing.T) {
	r := image.Registries{Insecure: []string{"lan.example", "10.1.0.0/16", "host:5000"}}
	hosts := r.Hosts(nil)
	for host, plain := range map[string]bool{
		"127.0.0.1:5000": true, "localhost:5000": true, "[::1]:5000": true, "127.9.9.9": true,
		"lan.example": true, "lan.example:5000": true, "10.1.2.3:5000": true, "host:5000": true,
		"10.2.0.1": false, "host:5001": false, "example.com": false, "localhost.example.com": false, "docker.io": false,
	} {
		list, err := hosts(host)
		if err != nil || len(list) != 1 {
			t.Fatalf("%s: %v, %v", host, list, err)
		}
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		ask, err := http.NewRequestWithContext(ended, http.MethodGet, "http://"+host, nil)
		if err != nil {
			t.Fatal(err)
		}
		_, err = list[0].Client.Do(ask) //nolint:bodyclose // nothing is sent
		if errs.Is(err, errs.Denied) == plain {
			t.Errorf("%s: without TLS allowed is %v: %v", host, plain, err)
		}
		if list[0].Scheme != "https" {
			t.Errorf("%s is not asked by https first", host)
		}
	}
}
