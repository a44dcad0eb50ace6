package compose

import (
	"encoding/base64"
	"encoding/json"
	"strings"

	"lus/internal/client"
	"lus/internal/composefile"
)

// accessTo is what containers get that are to speak to the daemon themselves.
func accessTo(daemon string) composefile.Access {
	socket, _ := strings.CutPrefix(daemon, "unix://")
	if socket == daemon {
		socket = ""
	}
	return composefile.Access{Socket: socket, Logins: logins}
}

// logins are the user's credentials as Docker's clients read them.
func logins() ([]byte, error) {
	all, err := client.AllCredentials()
	if err != nil {
		return nil, err
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
	return json.Marshal(map[string]any{"auths": auths})
}
