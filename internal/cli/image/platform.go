package image

import (
	"encoding/json"
	"net/url"
	"strings"

	"github.com/spf13/pflag"

	"lus/internal/base/errs"
)

// platformFlag registers --platform of the verbs for which an image is either of
// that platform or not here.
func platformFlag(f *pflag.FlagSet) *string {
	return f.String("platform", "", "Only where the image is for this platform, as linux/amd64")
}

// setPlatform puts a platform into a query as the API reads it; an empty one is
// none.
func setPlatform(q url.Values, key, text string) error {
	if text == "" {
		return nil
	}
	parts := strings.Split(strings.ToLower(text), "/")
	if len(parts) < 2 || len(parts) > 3 || strings.Contains(text, "//") || strings.HasSuffix(text, "/") {
		return errs.New(errs.Invalid, "invalid platform %q: write OS/ARCH, as in linux/arm64", text)
	}
	p := map[string]string{"os": parts[0], "architecture": parts[1]}
	if len(parts) == 3 {
		p["variant"] = parts[2]
	}
	data, err := json.Marshal(p)
	q.Add(key, string(data))
	return err
}
