package compose

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/containerd/platforms"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"lus/internal/base/errs"
	"lus/internal/model/compose"
	"lus/internal/model/image"
)

// imageStep is what has to be done for a service's image; nil where it is there.
func imageStep(req *compose.UpRequest, svc *compose.Service, inspect func(string) (*image.Image, error), tell Tell) (*step, error) {
	img, err := inspect(svc.Image)
	if errs.Is(err, errs.NotFound) || err == nil && !runsOn(svc.Platform, img) {
		img, err = nil, nil
	}
	policy := cmp.Or(req.Pull, svc.PullPolicy)
	switch {
	case err != nil:
		return nil, err
	case svc.Build != nil:
		return buildable(req, svc, img, tell)
	case img == nil && policy == "never":
		return nil, errs.New(errs.NotFound, "image %s of service %s is not here%s, and pull_policy is never: pull or import it first", svc.Image, svc.Name, forPlatform(svc))
	case wanted(policy, svc, img):
		return pullStep(req, svc), nil
	}
	return nil, nil
}

// runsOn reports whether an image is for the platform that a service names. One that
// is not might as well not be here.
func runsOn(platform string, img *image.Image) bool {
	if platform == "" {
		return true
	}
	want, err := platforms.Parse(platform)
	return err == nil && platforms.NewMatcher(want).Match(ocispec.Platform{OS: img.OS, Architecture: img.Architecture, Variant: img.Variant})
}

func forPlatform(svc *compose.Service) string {
	if svc.Platform == "" {
		return ""
	}
	return " for " + svc.Platform
}

// buildable is imageStep for an image that can be built. A registry may have one
// of that name, which the specification prefers.
func buildable(req *compose.UpRequest, svc *compose.Service, img *image.Image, tell Tell) (*step, error) {
	policy := cmp.Or(req.Pull, svc.PullPolicy)
	named := svc.Image != req.Project.Name+"-"+svc.Name
	pull := named && wanted(policy, svc, img)
	switch {
	case !req.NoBuild && (req.Build || policy == "build"):
		return buildStep(req, svc), nil
	case pull && (req.NoBuild || img != nil):
		st := pullStep(req, svc)
		st.optional = img != nil
		return st, nil
	case img == nil && req.NoBuild:
		return nil, errs.New(errs.NotFound, "image %s of service %s is not built: leave out --no-build", svc.Image, svc.Name)
	case img == nil:
		st := buildStep(req, svc)
		st.pullFirst = pull
		return st, nil
	}
	if w := stale(svc, img); w != "" {
		tell(compose.Event{Warning: w})
	}
	return nil, nil
}

func pullStep(req *compose.UpRequest, svc *compose.Service) *step {
	return &step{action: compose.PullImage, kind: "Image", name: svc.Image, service: svc, quiet: req.QuietPull}
}

func buildStep(req *compose.UpRequest, svc *compose.Service) *step {
	b := forUser(svc.Build, req.Project)
	return &step{action: compose.BuildImage, kind: "Image", name: svc.Image, service: svc, build: b, quiet: req.QuietBuild}
}

// wanted tells whether a registry is asked for an image, of which img is here; nil:
// none.
func wanted(policy string, svc *compose.Service, img *image.Image) bool {
	switch policy {
	case "never":
		return false
	case "always":
		return true
	case "refresh":
		return img == nil || time.Since(img.LastTagTime) >= svc.RefreshAfter
	case "build":
		return img == nil && svc.Build == nil
	}
	return img == nil
}

// stale tells of an image that is kept although its Dockerfile was changed after
// it was built: up builds only what is missing.
func stale(svc *compose.Service, img *image.Image) string {
	b := svc.Build
	if b.ContextDir == "" || len(b.DockerfileText) > 0 {
		return ""
	}
	path := cmp.Or(b.Dockerfile, "Dockerfile")
	if !filepath.IsAbs(path) {
		path = filepath.Join(b.ContextDir, path)
	}
	st, err := os.Stat(path)
	if err != nil {
		return ""
	}
	built := img.LastTagTime
	if img.Created.After(built) {
		built = img.Created
	}
	if !st.ModTime().After(built) {
		return ""
	}
	return fmt.Sprintf("image %s is older than its Dockerfile (%s) and is kept; `lus compose build %s` or `lus compose up --build` builds it anew", svc.Image, path, svc.Name)
}
