package client

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"lus/internal/base/errs"
	"lus/internal/model/image"
)

// dockerIO is the name under which the credential file keeps docker.io.
const dockerIO = "https://index.docker.io/v1/"

// credentialFile are the credentials in Docker's ~/.docker/config.json.
type credentialFile struct {
	Auths       map[string]image.Auth `json:"auths"`
	CredsStore  string                `json:"credsStore"`
	CredHelpers map[string]string     `json:"credHelpers"`
}

func credentialPath() string {
	dir := os.Getenv("DOCKER_CONFIG")
	if dir == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return ""
		}
		dir = filepath.Join(home, ".docker")
	}
	return filepath.Join(dir, "config.json")
}

func readCredentials() (*credentialFile, error) {
	f := &credentialFile{}
	if err := readFile(f); err != nil {
		return nil, err
	}
	return f, nil
}

// Credentials returns the user's credentials for a registry's host ("docker.io",
// "ghcr.io", "localhost:5000"); nil where there are none. They come from
// Docker's credential file and the helpers it names.
func Credentials(host string) (*image.Auth, error) {
	f, err := readCredentials()
	if err != nil {
		return nil, err
	}
	key := host
	if host == "docker.io" {
		key = dockerIO
	}
	helper := f.CredHelpers[key]
	if helper == "" {
		helper = f.CredHelpers[host]
	}
	if helper == "" {
		helper = f.CredsStore
	}
	if helper != "" {
		if a, err := askHelper(helper, key); a != nil || err != nil {
			return a, err
		}
	}
	for _, k := range keysOf(host) {
		if a, ok := f.Auths[k]; ok {
			return decodeAuth(a, key)
		}
	}
	return nil, nil
}

// AllCredentials returns the user's credentials for each registry that the
// credential file names, by host. What cannot be had of one, as its helper is
// broken, keeps nobody from the others: warn is told.
func AllCredentials(warn func(error)) (map[string]image.Auth, error) {
	f, err := readCredentials()
	if err != nil {
		return nil, err
	}
	hosts := map[string]bool{}
	for k := range f.Auths {
		hosts[hostOf(k)] = true
	}
	for k := range f.CredHelpers {
		hosts[hostOf(k)] = true
	}
	out := map[string]image.Auth{}
	for h := range hosts {
		a, err := Credentials(h)
		switch {
		case err != nil:
			warn(err)
		case a != nil:
			out[h] = *a
		}
	}
	return out, nil
}

// hostOf cuts a key of the credential file down to the registry's host.
func hostOf(key string) string {
	if key == dockerIO {
		return "docker.io"
	}
	_, rest, ok := strings.Cut(key, "://")
	if !ok {
		rest = key
	}
	host, _, _ := strings.Cut(rest, "/")
	return host
}

// decodeAuth fills in user and password from the base64 the file keeps.
func decodeAuth(a image.Auth, server string) (*image.Auth, error) {
	if a.Auth != "" && a.Username == "" {
		data, err := base64.StdEncoding.DecodeString(a.Auth)
		user, password, ok := strings.Cut(string(bytes.TrimRight(data, "\x00")), ":")
		if err != nil || !ok {
			return nil, errs.New(errs.Invalid, "the credential file has a broken entry for %s: log in again with `lus login`", server)
		}
		a.Username, a.Password = user, password
	}
	a.Auth = ""
	a.ServerAddress = server
	if a.Username == "" && a.IdentityToken == "" && a.RegistryToken == "" {
		return nil, nil
	}
	return &a, nil
}

// askHelper runs docker-credential-NAME get; the server's name goes in by
// standard input, so no secret is in an argument list.
func askHelper(name, server string) (*image.Auth, error) {
	if strings.ContainsAny(name, "/\\") {
		return nil, errs.New(errs.Invalid, "the credential helper %q is not a name", name)
	}
	cmd := exec.Command("docker-credential-"+name, "get")
	cmd.Stdin = strings.NewReader(server)
	out, err := cmd.Output()
	if err != nil {
		if strings.Contains(string(out), "credentials not found") {
			return nil, nil
		}
		return nil, errs.New(errs.Unavailable, "the credential helper docker-credential-%s failed for %s: %w", name, server, err)
	}
	var got struct{ Username, Secret string }
	if err := json.Unmarshal(out, &got); err != nil {
		return nil, errs.New(errs.Invalid, "the credential helper docker-credential-%s answered what is not JSON: %w", name, err)
	}
	if got.Username == "<token>" {
		return &image.Auth{IdentityToken: got.Secret, ServerAddress: server}, nil
	}
	return &image.Auth{Username: got.Username, Password: got.Secret, ServerAddress: server}, nil
}
