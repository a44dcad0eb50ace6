package docker

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"lus/internal/base/errs"
	"lus/internal/model/image"
)

// platform is what a query's `platform` or `platforms` names, in the words of
// the OCI image specification.
type platform struct {
	OS           string `json:"os"`
	Architecture string `json:"architecture"`
	Variant      string `json:"variant"`
}

// readPlatforms reads JSON objects, or OS/ARCH[/VARIANT] as old clients write it.
func readPlatforms(values []string) ([]platform, error) {
	var out []platform
	for _, v := range values {
		if v == "" {
			continue
		}
		var p platform
		if err := json.Unmarshal([]byte(v), &p); err != nil {
			parts := append(strings.Split(v, "/"), "", "")
			p = platform{parts[0], parts[1], parts[2]}
		}
		if p.OS == "" || p.Architecture == "" {
			return nil, errs.New(errs.Invalid, "invalid platform %q: it needs an os and an architecture", v)
		}
		if full, ok := map[string]string{"x86_64": "amd64", "aarch64": "arm64"}[p.Architecture]; ok {
			p.Architecture = full
		}
		out = append(out, p)
	}
	return out, nil
}

func (p platform) String() string {
	return strings.TrimSuffix(p.OS+"/"+p.Architecture+"/"+p.Variant, "/")
}

func (p platform) is(img *image.Image) bool {
	return p.OS == img.OS && p.Architecture == img.Architecture && (p.Variant == "" || p.Variant == img.Variant)
}

// checkPlatform fails where an image is not for the platform that the request
// asks for: an image is here for one alone.
func (h *handler) checkPlatform(r *http.Request, ref string) error {
	q := r.URL.Query()
	asked, err := readPlatforms(append(slices.Clone(q["platform"]), q["platforms"]...))
	if err != nil || len(asked) == 0 {
		return err
	}
	img, err := h.Images.InspectImage(r.Context(), ref)
	if err != nil {
		return err
	}
	for _, p := range asked {
		if !p.is(img) {
			is := platform{img.OS, img.Architecture, img.Variant}
			return errs.New(errs.NotFound, "image with reference %s was found but its platform (%s) does not match the specified platform (%s)", ref, is, p)
		}
	}
	return nil
}
