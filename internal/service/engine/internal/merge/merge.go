// Package merge joins what an image says with what its user asks for, as
// Docker does: the user's word counts where there is one.
package merge

import (
	"maps"
	"slices"
	"strings"

	"lus/internal/base/errs"
	"lus/internal/model/container"
)

// DefaultPath is the PATH of a container whose image sets none.
const DefaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// Config returns user's configuration completed by the image's. Neither is changed.
func Config(user, img *container.Config) (*container.Config, error) {
	c := *user
	if c.User == "" {
		c.User = img.User
	}
	if len(c.Entrypoint) == 0 {
		if len(c.Cmd) == 0 {
			c.Cmd, c.ArgsEscaped = slices.Clone(img.Cmd), img.ArgsEscaped
		}
		// An entrypoint of one empty string resets the image's.
		if c.Entrypoint == nil {
			c.Entrypoint = slices.Clone(img.Entrypoint)
		}
	} else if len(c.Entrypoint) == 1 && c.Entrypoint[0] == "" {
		c.Entrypoint = nil
	}
	if len(c.Entrypoint) == 0 && len(c.Cmd) == 0 {
		return nil, errs.New(errs.Invalid, "no command specified: the image names none; write one after the image")
	}
	c.Env = env(user.Env, img.Env)
	c.Labels = union(img.Labels, user.Labels)
	c.ExposedPorts = union(img.ExposedPorts, user.ExposedPorts)
	c.Volumes = union(img.Volumes, user.Volumes)
	if c.WorkingDir == "" {
		c.WorkingDir = img.WorkingDir
	}
	if c.StopSignal == "" {
		c.StopSignal = img.StopSignal
	}
	if c.StopTimeout == nil {
		c.StopTimeout = img.StopTimeout
	}
	if len(c.Shell) == 0 {
		c.Shell = img.Shell
	}
	c.Healthcheck = healthcheck(user.Healthcheck, img.Healthcheck)
	return &c, nil
}

// env keeps the user's variables, in order, and adds the image's that they do
// not name. A name alone ("X") takes the image's variable away.
func env(user, img []string) []string {
	out := []string{}
	named := map[string]bool{}
	for _, kv := range user {
		key, _, _ := strings.Cut(kv, "=")
		named[key] = true
	}
	for _, kv := range img {
		if key, _, _ := strings.Cut(kv, "="); !named[key] {
			out = append(out, kv)
		}
	}
	// The user's come first, as Docker shows them.
	return append(slices.Clone(user), out...)
}

func union[V any](img, user map[string]V) map[string]V {
	out := make(map[string]V, len(img)+len(user))
	maps.Copy(out, img)
	maps.Copy(out, user)
	return out
}

func healthcheck(user, img *container.Healthcheck) *container.Healthcheck {
	if user == nil {
		return img
	}
	if img == nil || len(user.Test) > 0 && user.Test[0] == "NONE" {
		return user
	}
	h := *user
	if len(h.Test) == 0 {
		h.Test = img.Test
	}
	if h.Interval == 0 {
		h.Interval = img.Interval
	}
	if h.Timeout == 0 {
		h.Timeout = img.Timeout
	}
	if h.StartPeriod == 0 {
		h.StartPeriod = img.StartPeriod
	}
	if h.StartInterval == 0 {
		h.StartInterval = img.StartInterval
	}
	if h.Retries == 0 {
		h.Retries = img.Retries
	}
	return &h
}

// Command is what to execute: the entrypoint, followed by the command.
func Command(c *container.Config) []string {
	return append(slices.Clone([]string(c.Entrypoint)), c.Cmd...)
}
