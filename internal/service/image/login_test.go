package image_test

import (
	"net/http"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"

	"lus/internal/base/errs"
	model "lus/internal/model/image"
)

// onlyAda lets nobody in but ada, whose password is right.
func onlyAda(w http.ResponseWriter, r *http.Request) bool {
	if user, password, ok := r.BasicAuth(); ok && user == "ada" && password == "right" {
		return false // not refused
	}
	w.Header().Set("WWW-Authenticate", `Basic realm="here"`)
	w.WriteHeader(http.StatusUnauthorized)
	return true
}

func TestLoginIsTriedAtTheRegistry(t *testing.T) {
	w := newWorld(t)
	reg := newRegistry(t)
	reg.behind(onlyAda)
	for _, c := range []struct {
		what, server, user, password string
		want                         errs.Kind
	}{
		{"the right password", reg.host, "ada", "right", 0},
		{"with a scheme and a path", "http://" + reg.host + "/v1/", "ada", "right", 0},
		{"a wrong password", reg.host, "ada", "wrong", errs.Unauthenticated},
		{"none", reg.host, "", "", errs.Unauthenticated},
		{"nobody there", "127.0.0.1:1", "ada", "right", errs.Unavailable},
	} {
		_, err := w.Login(t.Context(), &model.Auth{ServerAddress: c.server, Username: c.user, Password: c.password})
		if (err == nil) != (c.want == 0) || err != nil && errs.KindOf(err) != c.want {
			t.Errorf("%s: %v, want kind %d", c.what, err, c.want)
		}
	}
}

func TestWhatANameStandsForAtItsRegistry(t *testing.T) {
	w := newWorld(t)
	reg := newRegistry(t)
	img := imageOf(t, layer(t, entry{name: "a", text: "A"}))
	arm := configured(t, img, "linux", "arm64")
	one := reg.push("one:1", arm)
	d, err := w.Distribution(t.Context(), one, nil)
	if err != nil {
		t.Fatal(err)
	}
	digest, err := arm.Digest()
	if err != nil || d.Descriptor.Digest != digest.String() || len(d.Platforms) != 1 || d.Platforms[0].Architecture != "arm64" {
		t.Errorf("%+v (%v)", d, err)
	}
	many := reg.pushIndex("many:1", mutate.AppendManifests(empty.Index,
		mutate.IndexAddendum{Add: img, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: "amd64"}}},
		mutate.IndexAddendum{Add: arm, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: "arm64"}}}))
	d, err = w.Distribution(t.Context(), many, nil)
	if err != nil || len(d.Platforms) != 2 {
		t.Errorf("%+v (%v)", d, err)
	}
	if _, err := w.Distribution(t.Context(), reg.host+"/none:1", nil); !errs.Is(err, errs.NotFound) {
		t.Errorf("what is not there: %v", err)
	}
	before := w.files()
	if _, err := w.Distribution(t.Context(), many, nil); err != nil {
		t.Fatal(err)
	}
	w.same(before)
	reg.behind(onlyAda)
	if _, err := w.Distribution(t.Context(), many, &model.Auth{Username: "ada", Password: "wrong"}); !errs.Is(err, errs.Unauthenticated) {
		t.Errorf("a wrong password: %v", err)
	}
	if _, err := w.Distribution(t.Context(), many, &model.Auth{Username: "ada", Password: "right"}); err != nil {
		t.Errorf("the right password: %v", err)
	}
}
