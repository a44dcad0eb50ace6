package composefile

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"os"

	"github.com/compose-spec/compose-go/v2/types"

	"lus/internal/model/compose"
)

// contents are the configs and secrets of a service that are files of the host,
// with sums of what they contain: other contents make another container. What
// cannot be read has no sum; that it is missing is told when it is mounted.
func contents(p *types.Project, s types.ServiceConfig) []compose.Content {
	var out []compose.Content
	for _, f := range shownFiles(p, s) {
		if !f.isShown() {
			continue
		}
		if sum := sumOf(f.object.File); sum != "" {
			out = append(out, compose.Content{Key: f.kind + "s." + f.name, Path: f.object.File, Sum: sum})
		}
	}
	return out
}

// sumOf is the sum over a regular file's contents; empty for anything else.
func sumOf(path string) string {
	if st, err := os.Stat(path); err != nil || !st.Mode().IsRegular() {
		return ""
	}
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, io.LimitReader(f, compose.MaxFile)); err != nil {
		return ""
	}
	return hex.EncodeToString(h.Sum(nil))
}
