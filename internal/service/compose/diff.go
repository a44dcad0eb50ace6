package compose

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"unicode"

	"lus/internal/model/compose"
	"lus/internal/model/container"
)

// difference is one key of a service that has another value.
type difference struct {
	key      string
	old, new string // as people may see them; empty: not there
}

func (d difference) String() string {
	switch {
	case d.old == "":
		return d.key + ": + " + d.new
	case d.new == "":
		return d.key + ": - " + d.old
	case d.old == d.new: // what cannot be shown, or was cut
		return d.key + ": changed"
	}
	return d.key + ": " + d.old + " -> " + d.new
}

// facet is the value of one key: as it is compared and as it is shown.
type facet struct{ value, shown string }

// differences tells by the keys of the file what of a service changed. What is
// secret is told to have changed, and not what it is.
func differences(old, new *compose.Service) []difference {
	was, is := facets(old), facets(new)
	keys := maps.Clone(was)
	maps.Copy(keys, is)
	var out []difference
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		if was[key].value != is[key].value {
			out = append(out, difference{key, was[key].shown, is[key].shown})
		}
	}
	return out
}

// facets takes a service apart by the keys that people know it by.
func facets(s *compose.Service) map[string]facet {
	out := map[string]facet{}
	if s == nil {
		return out
	}
	put := func(key, value string) {
		if value != "" {
			out[key] = facet{value, cut(value)}
		}
	}
	put("image", s.Image)
	put("container_name", s.ContainerName)
	put("platform", s.Platform)
	put("scale", fmt.Sprint(s.Scale))
	for _, d := range s.DependsOn {
		put("depends_on."+d.Service, d.Condition)
	}
	for _, f := range s.Contents {
		out[f.Key] = facet{f.Sum, "its contents"}
	}
	for _, f := range s.Files {
		out[f.Key] = facet{fmt.Sprint(fileSum(f), f.Target, f.UID, f.GID, f.Mode), "its contents"}
	}
	c := s.Create
	for _, e := range c.Env {
		name, value, _ := strings.Cut(e, "=")
		out["environment."+name] = facet{"=" + value, shownValue(name, value)}
	}
	for name, value := range c.Labels {
		if !strings.HasPrefix(name, "com.docker.compose.") {
			out["labels."+name] = facet{"=" + value, shownValue(name, value)}
		}
	}
	c.Config.Image, c.Env, c.Labels = "", nil, nil
	if c.HostConfig != nil {
		h := *c.HostConfig
		hostFacets(&h, put)
		c.HostConfig = &h
	}
	if c.NetworkingConfig != nil {
		for name, e := range c.NetworkingConfig.EndpointsConfig {
			out["networks."+name] = facet{text(e), cut(placeOn(s.Name, e))}
		}
		c.NetworkingConfig = nil
	}
	rest(c, put)
	for i, h := range s.PreStart {
		hook := facets(&compose.Service{Scale: s.Scale, Image: h.Image, Platform: h.Platform, Create: h.Create, Files: h.Files, Contents: h.Contents})
		hook["per_replica"] = facet{fmt.Sprint(h.PerReplica), fmt.Sprint(h.PerReplica)}
		for key, f := range hook {
			if out[key].value != f.value { // else it is told of the service
				out[fmt.Sprintf("pre_start.%d.%s", i, key)] = f
			}
		}
	}
	return out
}

// hostFacets takes out of h what has a key of its own.
func hostFacets(h *container.HostConfig, put func(key, value string)) {
	for port, bindings := range h.PortBindings {
		var to []string
		for _, b := range bindings {
			at := cmp.Or(b.HostPort, "a free port")
			switch {
			case strings.Contains(b.HostIP, ":"):
				at = "[" + b.HostIP + "]:" + at
			case b.HostIP != "":
				at = b.HostIP + ":" + at
			}
			to = append(to, at)
		}
		put("ports."+port, strings.Join(to, ","))
	}
	for _, m := range h.Mounts {
		what := m.Type
		if m.Source != "" {
			what += " " + m.Source
		}
		if m.ReadOnly {
			what += " (ro)"
		}
		target := m.Target
		m.Type, m.Source, m.Target, m.ReadOnly = "", "", "", false
		if o := m.VolumeOptions; o != nil && text(o) == "{}" {
			m.VolumeOptions = nil
		}
		if o := m.BindOptions; o != nil && text(o) == text(container.BindOptions{CreateMountpoint: true}) {
			m.BindOptions = nil
		}
		if more := text(m); more != text(container.Mount{}) {
			what += " " + more
		}
		put("volumes."+target, what)
	}
	for path, opts := range h.Tmpfs {
		put("tmpfs."+path, cmp.Or(opts, "mounted"))
	}
	h.PortBindings, h.Mounts, h.Tmpfs = nil, nil, nil
}

// rest puts every other part of a create request under a name like the file's.
func rest(c container.CreateRequest, put func(key, value string)) {
	var tree map[string]any
	if json.Unmarshal([]byte(text(c)), &tree) != nil {
		return
	}
	host, _ := tree["HostConfig"].(map[string]any)
	delete(tree, "HostConfig")
	delete(tree, "NetworkingConfig")
	for _, part := range []map[string]any{tree, host} {
		for name, v := range part {
			if value := text(v); !slices.Contains([]string{"null", `""`, "false", "0", "[]", "{}"}, value) {
				put(spell(name), strings.Trim(value, `"`))
			}
		}
	}
}

// spell writes StopSignal as stop_signal; what the file calls otherwise has the
// file's name.
func spell(name string) string {
	known := map[string]string{
		"Cmd": "command", "OpenStdin": "stdin_open", "WorkingDir": "working_dir", "RestartPolicy": "restart", "LogConfig": "logging",
		"ExposedPorts": "expose", "StopTimeout": "stop_grace_period", "ReadonlyRootfs": "read_only", "Memory": "mem_limit", "NanoCpus": "cpus",
	}
	if k, ok := known[name]; ok {
		return k
	}
	var b strings.Builder
	runes := []rune(name)
	for i, r := range runes {
		if unicode.IsUpper(r) && i > 0 && !unicode.IsUpper(runes[i-1]) {
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}

func text(v any) string {
	data, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(data)
}

const longest = 120 // of a value that is shown

// cut is a value as it is shown: in one line, and without what would move the
// cursor of a terminal.
func cut(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, strings.TrimSpace(s))
	if r := []rune(s); len(r) > longest {
		return string(r[:longest-1]) + "…"
	}
	return s
}

// hidden stands for a value that nobody reading a plan needs to see.
const hidden = "(hidden)"

// shownValue is the value of a variable or label, unless its name says that it
// is a secret or it carries a password, as a URL may.
func shownValue(name, value string) string {
	upper := strings.ToUpper(name)
	for _, word := range []string{"PASS", "PWD", "SECRET", "TOKEN", "KEY", "CREDENTIAL", "AUTH", "PRIVATE", "SALT", "DSN"} {
		if strings.Contains(upper, word) {
			return hidden
		}
	}
	if u, err := url.Parse(value); err == nil && u.User != nil {
		if _, has := u.User.Password(); has {
			return hidden
		}
	}
	if value == "" {
		return `""`
	}
	return cut(value)
}
