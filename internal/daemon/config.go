package daemon

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"lus/internal/base/errs"
	"lus/internal/service/image"
)

// config is what the administrator writes into the configuration file, in the
// words of Docker's daemon.json.
type config struct {
	// Mirrors are asked before a registry. Docker's form is a list for docker.io;
	// an object has a list for each registry.
	Mirrors mirrors `json:"registry-mirrors"`
	// Insecure registries may do without TLS, or without a certificate that
	// somebody vouches for: HOST, HOST:PORT, or a network such as 10.0.0.0/8.
	Insecure []string `json:"insecure-registries"`
	// Timeout is how long a registry may send or take nothing.
	Timeout duration `json:"registry-timeout"`
	// Devices are folders of specifications of devices (CDI), in place of the
	// usual ones.
	Devices []string `json:"cdi-spec-dirs"`
}

// mirrors are URLs by registry.
type mirrors map[string][]string

// UnmarshalJSON takes both forms.
func (m *mirrors) UnmarshalJSON(data []byte) error {
	if bytes.HasPrefix(bytes.TrimSpace(data), []byte("[")) {
		var list []string
		err := json.Unmarshal(data, &list)
		*m = mirrors{"docker.io": list}
		return err
	}
	var byHost map[string][]string
	err := json.Unmarshal(data, &byHost)
	*m = byHost
	return err
}

// duration is written as people do: "30s", "2m".
type duration time.Duration

// UnmarshalJSON takes what could be meant: less than a second would end what is
// well, more than a day is for ever.
func (d *duration) UnmarshalJSON(data []byte) error {
	var text string
	if err := json.Unmarshal(data, &text); err != nil {
		return err
	}
	v, err := time.ParseDuration(text)
	if err != nil || v < time.Second || v > 24*time.Hour {
		return fmt.Errorf(`%q is no time between a second and a day: write one as "30s"`, text)
	}
	*d = duration(v)
	return nil
}

// maxConfig bounds the file.
const maxConfig = 1 << 20

// readConfig reads the file at path. One that nobody asked for may be absent.
func readConfig(path string, asked bool) (config, error) {
	var c config
	data, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) && !asked {
		return c, nil
	}
	if err != nil {
		return c, errs.New(errs.Invalid, "the configuration file: %w", err)
	}
	if len(data) > maxConfig {
		return c, errs.New(errs.Invalid, "%s: the configuration is longer than a megabyte", path)
	}
	var whole json.RawMessage
	var syntax *json.SyntaxError
	if err := json.Unmarshal(data, &whole); errors.As(err, &syntax) {
		return c, errs.New(errs.Invalid, "%s:%d: this is no JSON: %w", path, line(data, syntax.Offset-1), err)
	}
	d := json.NewDecoder(bytes.NewReader(data))
	if err := c.read(d); err != nil {
		return c, errs.New(errs.Invalid, "%s:%d: %w", path, line(data, d.InputOffset()), err)
	}
	if err := (image.Registries{Mirrors: c.Mirrors}).Check(); err != nil {
		return c, errs.New(errs.Invalid, "%s: %w", path, err)
	}
	return c, nil
}

// read takes the file's one object apart, key by key, so that what is wrong is
// told where it stands.
func (c *config) read(d *json.Decoder) error {
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return errors.New(`the configuration is no JSON object: write { "insecure-registries": [...] }`)
	}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return err
		}
		var to any
		switch key {
		case "registry-mirrors":
			to = &c.Mirrors
		case "insecure-registries":
			to = &c.Insecure
		case "registry-timeout":
			to = &c.Timeout
		case "cdi-spec-dirs":
			to = &c.Devices
		default:
			return fmt.Errorf("%q is not known here: there are registry-mirrors, insecure-registries, registry-timeout and cdi-spec-dirs", key)
		}
		if err := d.Decode(to); err != nil {
			return fmt.Errorf("%q is not what belongs there: %w", key, err)
		}
	}
	return nil
}

// line is the line of an offset, counted from one.
func line(data []byte, offset int64) int {
	return 1 + bytes.Count(data[:min(max(offset, 0), int64(len(data)))], []byte("\n"))
}

// with adds what the command line says, after what the file does.
func (c config) with(r image.Registries) image.Registries {
	all := image.Registries{Mirrors: map[string][]string{}, Insecure: slices.Concat(c.Insecure, r.Insecure)}
	for _, from := range []map[string][]string{c.Mirrors, r.Mirrors} {
		for host, urls := range from {
			all.Mirrors[host] = append(all.Mirrors[host], urls...)
		}
	}
	return all
}
