package client

import (
	"encoding/json"
	"errors"
	"os"
	"strings"

	"lus/internal/base/errs"
)

// Config is what the user chose in Docker's configuration file, beside the
// credentials that are kept there.
type Config struct {
	DetachKeys     string            `json:"detachKeys"`
	PsFormat       string            `json:"psFormat"`
	ImagesFormat   string            `json:"imagesFormat"`
	NetworksFormat string            `json:"networksFormat"`
	VolumesFormat  string            `json:"volumesFormat"`
	StatsFormat    string            `json:"statsFormat"`
	PruneFilters   []string          `json:"pruneFilters"`
	Proxies        map[string]Proxy  `json:"proxies"` // by the daemon's address, or "default"
	HTTPHeaders    map[string]string `json:"HttpHeaders"`
	CurrentContext string            `json:"currentContext"`
}

// Proxy are the proxies of what a daemon runs. Their addresses may hold
// passwords.
type Proxy struct {
	HTTP  string `json:"httpProxy"`
	HTTPS string `json:"httpsProxy"`
	FTP   string `json:"ftpProxy"`
	All   string `json:"allProxy"`
	None  string `json:"noProxy"`
}

// ReadConfig reads Docker's configuration file; where there is none, nothing was
// chosen.
func ReadConfig() (*Config, error) {
	c := &Config{}
	return c, readFile(c)
}

// readFile decodes Docker's configuration file into what a reader needs of it.
func readFile(into any) error {
	path := credentialPath()
	data, err := os.ReadFile(path)
	if err != nil {
		if path == "" || errors.Is(err, os.ErrNotExist) {
			return nil
		}
		return errs.New(errs.Invalid, "Docker's configuration file: %w", err)
	}
	if err := json.Unmarshal(data, into); err != nil {
		return errs.New(errs.Invalid, "Docker's configuration file %s cannot be read: %w", path, err)
	}
	return nil
}

// Variable is a variable of an environment.
type Variable struct{ Name, Value string }

// ProxyVariables are the variables by which programs find the proxies of a daemon,
// each in capitals and in small letters, as programs differ in which they read.
func (c *Config) ProxyVariables(host string) (out []Variable) {
	p, ok := c.Proxies[host]
	if !ok {
		p = c.Proxies["default"]
	}
	for _, v := range []Variable{{"HTTP_PROXY", p.HTTP}, {"HTTPS_PROXY", p.HTTPS}, {"FTP_PROXY", p.FTP}, {"ALL_PROXY", p.All}, {"NO_PROXY", p.None}} {
		if v.Value != "" {
			out = append(out, v, Variable{strings.ToLower(v.Name), v.Value})
		}
	}
	return out
}
