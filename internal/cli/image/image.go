// Package image holds the commands about images, one file a verb.
package image

import (
	"encoding/base64"
	"encoding/json"
	"net/url"
	"strings"

	"lus/internal/base/errs"
	"lus/internal/cli/command"
	"lus/internal/cli/prune"
	"lus/internal/client"
	"lus/internal/model/image"
)

// Commands are the verbs of `lus image`.
func Commands() []command.Command {
	return []command.Command{BuildCommand(), compareCommand(), historyCommand(), importCommand(), inspectCommand(), loadCommand(), lsCommand(),
		prune.Command(prune.Images()), pullCommand(), pushCommand(), rmCommand(), saveCommand(), searchCommand(), tagCommand()}
}

// path is an image's path in the API. Names keep their slashes.
func path(name, verb string) string {
	parts := strings.Split(name, "/")
	for i := range parts {
		parts[i] = url.PathEscape(parts[i])
	}
	p := "/images/" + strings.Join(parts, "/")
	if verb != "" {
		p += "/" + verb
	}
	return p
}

// IsMissing reports whether err says that an image is not here, or not for the
// platform that was asked for.
func IsMissing(err error) bool {
	text := client.Message(err)
	return errs.Is(err, errs.NotFound) &&
		(strings.Contains(text, "No such image") || strings.Contains(text, "does not match the specified platform"))
}

// Tagged is ref with the tag that is meant where none is written.
func Tagged(ref string) string {
	name := ref[strings.LastIndexByte(ref, '/')+1:]
	if strings.ContainsAny(name, ":@") {
		return ref
	}
	return ref + ":latest"
}

// SplitTag cuts the tag off an image's name.
func SplitTag(ref string) (repo, tag string) {
	i := strings.LastIndexByte(ref, ':')
	if i < 0 || strings.Contains(ref[i:], "/") {
		return ref, ""
	}
	return ref[:i], ref[i+1:]
}

// host is the registry that a reference leads to.
func host(ref string) string {
	first, _, ok := strings.Cut(ref, "/")
	if ok && (strings.ContainsAny(first, ".:") || first == "localhost") {
		if first == "index.docker.io" {
			return "docker.io"
		}
		return first
	}
	return "docker.io"
}

// authHeader is the header with the user's credentials for ref's registry.
func authHeader(ref string) (map[string]string, error) {
	a, err := client.Credentials(host(ref))
	if err != nil || a == nil {
		return nil, err
	}
	data, err := json.Marshal(a)
	if err != nil {
		return nil, err
	}
	return map[string]string{"X-Registry-Auth": base64.URLEncoding.EncodeToString(data)}, nil
}

// removed is a line of the answer to removing.
type removed = image.Removed
