package client

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"lus/internal/base/atomicfile"
	"lus/internal/base/errs"
	"lus/internal/model/image"
)

// RegistryHost is the registry that people mean by a name or address.
func RegistryHost(s string) string {
	switch h := hostOf(s); h {
	case "index.docker.io", "registry-1.docker.io", "registry.hub.docker.com":
		return "docker.io"
	default:
		return h
	}
}

// StoreCredentials keeps credentials: with the helper that Docker's credential
// file names, else in that file. It tells where.
func StoreCredentials(host string, a image.Auth) (where string, err error) {
	f, raw, err := rawCredentials()
	if err != nil {
		return "", err
	}
	key := keyOf(host)
	if helper := f.helper(host); helper != "" {
		secret := map[string]string{"ServerURL": key, "Username": a.Username, "Secret": a.Password}
		if a.IdentityToken != "" {
			secret["Username"], secret["Secret"] = "<token>", a.IdentityToken
		}
		data, err := json.Marshal(secret)
		if err != nil {
			return "", err
		}
		if err := runHelper(helper, "store", data); err != nil {
			return "", err
		}
		// Its name in the file says that there is something to ask the helper for.
		return "docker-credential-" + helper, raw.write(func(auths map[string]any) {
			forget(auths, host)
			auths[key] = map[string]string{}
		})
	}
	entry := map[string]string{"auth": base64.StdEncoding.EncodeToString([]byte(a.Username + ":" + a.Password))}
	if a.IdentityToken != "" {
		entry["identitytoken"] = a.IdentityToken
	}
	return credentialPath(), raw.write(func(auths map[string]any) {
		forget(auths, host)
		auths[key] = entry
	})
}

// EraseCredentials forgets credentials; os.ErrNotExist where there are none.
func EraseCredentials(host string) error {
	f, raw, err := rawCredentials()
	if err != nil {
		return err
	}
	known, err := Credentials(host)
	if err != nil {
		return err
	}
	key := keyOf(host)
	if _, listed := f.Auths[key]; known == nil && !listed {
		return os.ErrNotExist
	}
	if helper := f.helper(host); helper != "" {
		if err := runHelper(helper, "erase", []byte(key)); err != nil {
			return err
		}
	}
	return raw.write(func(auths map[string]any) { forget(auths, host) })
}

// forget removes all that the credential file keeps for a host.
func forget(auths map[string]any, host string) {
	for _, k := range keysOf(host) {
		delete(auths, k)
	}
}

// keysOf are the names under which clients keep a host's credentials; ours is the
// first.
func keysOf(host string) []string {
	return []string{keyOf(host), host, "https://" + host, "https://" + host + "/v1/", "https://" + host + "/v2/", "http://" + host}
}

func keyOf(host string) string {
	if host == "docker.io" {
		return dockerIO
	}
	return host
}

// helper is the program that keeps a registry's credentials; empty: the file.
func (f *credentialFile) helper(host string) string {
	for _, k := range []string{keyOf(host), host} {
		if h := f.CredHelpers[k]; h != "" {
			return h
		}
	}
	return f.CredsStore
}

func runHelper(name, verb string, input []byte) error {
	if strings.ContainsAny(name, "/\\") {
		return errs.New(errs.Invalid, "the credential helper %q is not a name", name)
	}
	cmd := exec.Command("docker-credential-"+name, verb)
	cmd.Stdin = bytes.NewReader(input)
	if out, err := cmd.CombinedOutput(); err != nil {
		return errs.New(errs.Unavailable, "the credential helper docker-credential-%s cannot %s: %w: %s", name, verb, err, bytes.TrimSpace(out))
	}
	return nil
}

// document is the credential file with all that others keep in it.
type document map[string]any

func rawCredentials() (*credentialFile, document, error) {
	f, err := readCredentials()
	if err != nil {
		return nil, nil, err
	}
	doc := document{}
	data, err := os.ReadFile(credentialPath())
	if errors.Is(err, os.ErrNotExist) {
		return f, doc, nil
	}
	if err != nil {
		return nil, nil, err
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber() // as they stand there
	return f, doc, dec.Decode(&doc)
}

// write changes the file's credentials and nothing else of it.
func (d document) write(change func(auths map[string]any)) error {
	path := credentialPath()
	if path == "" {
		return errs.New(errs.NotFound, "there is no home folder to keep credentials in: set DOCKER_CONFIG")
	}
	// The file may be a link into another folder; that one is replaced.
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	auths, _ := d["auths"].(map[string]any)
	if auths == nil {
		auths = map[string]any{}
	}
	change(auths)
	d["auths"] = auths
	var data bytes.Buffer
	enc := json.NewEncoder(&data)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "\t")
	if err := enc.Encode(d); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	return atomicfile.Write(path, data.Bytes(), 0o600, atomicfile.Crash)
}
