package client

import (
	"encoding/base64"
	"encoding/json"
	"path/filepath"
)

// Socket is where the daemon's socket is on this host; empty where it is reached
// otherwise.
func (c *Client) Socket() string {
	if c.network != "unix" {
		return ""
	}
	path, err := filepath.Abs(c.address)
	if err != nil {
		return ""
	}
	return path
}

// Logins are the user's credentials in a file of their own, as Docker's clients
// read it, and how many there are. What helpers keep is written out; warn is told
// what cannot be had.
func Logins(warn func(error)) (file []byte, n int, err error) {
	all, err := AllCredentials(warn)
	if err != nil {
		return nil, 0, err
	}
	type entry struct {
		Auth          string `json:"auth,omitempty"`
		IdentityToken string `json:"identitytoken,omitempty"`
		RegistryToken string `json:"registrytoken,omitempty"`
	}
	auths := map[string]entry{}
	for _, a := range all {
		e := entry{IdentityToken: a.IdentityToken, RegistryToken: a.RegistryToken}
		if a.Username != "" || a.Password != "" {
			e.Auth = base64.StdEncoding.EncodeToString([]byte(a.Username + ":" + a.Password))
		}
		auths[a.ServerAddress] = e
	}
	file, err = json.Marshal(map[string]any{"auths": auths})
	return file, len(auths), err
}
