package engine

import (
	"cmp"
	"fmt"
	"net"
	"path"
	"slices"
	"strings"

	"lus/internal/base/errs"
	"lus/internal/model/container"
	model "lus/internal/model/network"
)

// A link lets a container of the default bridge, where names do not resolve,
// find another by an alias: in /etc/hosts and in variables. A container's record
// keeps its links as ID:ALIAS, so that the other may be renamed. On networks of
// one's own a link is a name that this container alone knows, see linked.

// linkTarget is a container that another one's link leads to.
type linkTarget struct {
	unit  *unit
	rec   container.Container
	alias string
}

// splitLink reads NAME[:ALIAS], and /NAME:/PARENT/ALIAS as inspect writes it.
func splitLink(link string) (name, alias string) {
	name, alias, ok := strings.Cut(strings.TrimPrefix(link, "/"), ":")
	if !ok {
		return name, name
	}
	if strings.HasPrefix(alias, "/") {
		alias = path.Base(alias)
	}
	return name, alias
}

func checkLinks(links []string) error {
	for _, l := range links {
		if name, alias := splitLink(l); !plainName(name) || !plainName(alias) {
			return errs.New(errs.Invalid, "invalid link %q: write CONTAINER:ALIAS", l)
		}
	}
	return nil
}

// planLinks finds the containers that links on the default bridge name.
func (e *Engine) planLinks(links []string) ([]string, error) {
	if err := checkLinks(links); err != nil {
		return nil, err
	}
	var out []string
	for _, l := range links {
		name, alias := splitLink(l)
		u, err := e.find(name)
		if err != nil {
			return nil, errs.New(errs.Invalid, "could not get container for %s: %w", name, err)
		}
		rec := u.snapshot()
		switch {
		case rec.HostConfig.NetworkMode == model.Host:
			return nil, errs.New(errs.Invalid, "conflicting options: host type networking can't be used with links. This would result in undefined behavior")
		case rec.Networks[model.Bridge] == nil:
			return nil, errs.New(errs.Invalid, "Cannot link to /%s, as it does not belong to the default network", rec.Name)
		}
		if entry := u.id + ":" + alias; !slices.Contains(out, entry) {
			out = append(out, entry)
		}
	}
	return out, nil
}

// links are the containers that those of the record lead to; one that was
// removed took its link along.
func (e *Engine) links(rec *container.Container) []linkTarget {
	var out []linkTarget
	for _, l := range rec.HostConfig.Links {
		id, alias := splitLink(l)
		if u := e.unitByID(id); u != nil {
			out = append(out, linkTarget{u, u.snapshot(), alias})
		}
	}
	return out
}

// checkLinked says which container has to run before this one.
func (e *Engine) checkLinked(rec *container.Container) error {
	for _, l := range e.links(rec) {
		if !l.rec.State.Running() {
			return errs.New(errs.Conflict, "Cannot link to a non running container: /%s AS /%s/%s", l.rec.Name, rec.Name, l.alias)
		}
	}
	return nil
}

// address is where the container is to be reached; empty while it does not run.
func (l *linkTarget) address() string {
	ep := l.rec.Networks[model.Bridge]
	if ep == nil || !l.rec.State.Running() {
		return ""
	}
	return ep.IPAddress
}

// linkHosts are the lines of /etc/hosts that links give.
func (e *Engine) linkHosts(rec *container.Container) string {
	var b strings.Builder
	for _, l := range e.links(rec) {
		if l.address() == "" {
			continue
		}
		fmt.Fprintf(&b, "%s\t%s %s", l.address(), l.alias, l.rec.Config.Hostname)
		if l.alias != l.rec.Name {
			b.WriteString(" " + l.rec.Name)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// withLinks is a container's configuration with the variables that its links
// give; those of the container itself go before them.
func (e *Engine) withLinks(rec *container.Container) *container.Config {
	var env []string
	for _, l := range e.links(rec) {
		if l.address() != "" {
			env = append(env, l.env(rec.Name)...)
		}
	}
	if len(env) == 0 {
		return rec.Config
	}
	c := *rec.Config
	c.Env = append(env, c.Env...)
	return &c
}

// env is what the container called parent is told of the one it is linked to:
// its name, each port it exposes and its own variables.
func (l *linkTarget) env(parent string) []string {
	word := strings.ReplaceAll(strings.ToUpper(l.alias), "-", "_")
	ip := l.address()
	var ports []container.Port
	for key := range l.rec.Config.ExposedPorts {
		if p, err := container.ParsePort(key); err == nil {
			ports = append(ports, p)
		}
	}
	// The lowest is the one that ALIAS_PORT names, of TCP where there is one.
	slices.SortFunc(ports, func(a, b container.Port) int {
		return cmp.Or(cmp.Compare(a.Proto, b.Proto), cmp.Compare(a.Number, b.Number))
	})
	if i := slices.IndexFunc(ports, func(p container.Port) bool { return p.Proto == "tcp" }); i > 0 {
		ports = append(slices.Clone(ports[i:]), ports[:i]...)
	}
	var out []string
	for i, p := range ports {
		number := fmt.Sprint(p.Number)
		url := p.Proto + "://" + net.JoinHostPort(ip, number)
		if i == 0 {
			out = append(out, word+"_PORT="+url)
		}
		name := word + "_PORT_" + number + "_" + strings.ToUpper(p.Proto)
		out = append(out, name+"="+url, name+"_ADDR="+ip, name+"_PORT="+number, name+"_PROTO="+p.Proto)
	}
	out = append(out, word+"_NAME=/"+parent+"/"+l.alias)
	for _, kv := range l.rec.Config.Env {
		if name, _, ok := strings.Cut(kv, "="); ok && name != "HOME" && name != "PATH" {
			out = append(out, word+"_ENV_"+kv)
		}
	}
	return out
}

// shownLinks is how inspect writes links: by the names of today.
func (e *Engine) shownLinks(rec *container.Container) []string {
	var out []string
	for _, l := range e.links(rec) {
		out = append(out, "/"+l.rec.Name+":/"+rec.Name+"/"+l.alias)
	}
	return out
}

// linkNames are the names that links give containers, by id: PARENT/ALIAS.
func (e *Engine) linkNames() map[string][]string {
	out := map[string][]string{}
	for _, u := range e.all() {
		rec := u.snapshot()
		for _, l := range rec.HostConfig.Links {
			id, alias := splitLink(l)
			out[id] = append(out[id], rec.Name+"/"+alias)
		}
	}
	return out
}

// tellParents writes a container's new address into the hosts of those that run
// and are linked to it.
func (e *Engine) tellParents(child *unit) {
	for _, u := range e.all() {
		rec := u.snapshot()
		if !rec.State.Running() || !slices.ContainsFunc(e.links(&rec), func(l linkTarget) bool { return l.unit == child }) {
			continue
		}
		e.deferred.do(func() {
			u.op.Lock()
			defer u.op.Unlock()
			rec := u.snapshot()
			if !rec.State.Running() {
				return
			}
			places, err := e.placesNow(&rec)
			if err == nil {
				err = e.writeFiles(&rec, places)
			}
			e.warn("telling of a linked container's address", &rec, err)
		})
	}
}

// removeLink takes the link PARENT/ALIAS away.
func (e *Engine) removeLink(name string) error {
	parent, alias := path.Split(strings.Trim(name, "/"))
	u, err := e.find(strings.Trim(parent, "/"))
	if parent == "" || err != nil {
		return errs.New(errs.NotFound, "No such container: %s: a link is named CONTAINER/ALIAS", name)
	}
	u.op.Lock()
	defer u.op.Unlock()
	host := *u.snapshot().HostConfig
	rest := slices.DeleteFunc(slices.Clone(host.Links), func(l string) bool {
		_, a := splitLink(l)
		return a == alias
	})
	if len(rest) == len(host.Links) {
		return errs.New(errs.NotFound, "No such container: %s: container %s has no link of that alias", name, strings.Trim(parent, "/"))
	}
	host.Links = rest
	e.change(u, func(rec *container.Container) { rec.HostConfig = &host })
	return nil
}
