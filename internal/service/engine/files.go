package engine

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"lus/internal/base/errs"
	"lus/internal/linux/network"
	"lus/internal/model/container"
	model "lus/internal/model/network"
	"lus/internal/service/engine/internal/spec"
)

// paths of a container's own files.
type paths struct {
	dir, upper, work, log, hostname, hosts, resolv, shm string
}

func (e *Engine) paths(id string) paths {
	dir := e.Layout.Container(id)
	in := func(name string) string { return filepath.Join(dir, name) }
	return paths{dir: dir, upper: in("upper"), work: in("work"), log: in("output.log"), hostname: in("hostname"), hosts: in("hosts"), resolv: in("resolv.conf"), shm: in("shm")}
}

// makeFolder makes a container's folder. Its parents may be entered by
// everybody, because the container's user walks through them into upper.
func (p paths) makeFolder() error {
	for _, d := range []struct {
		path string
		mode os.FileMode
	}{{filepath.Dir(p.dir), 0o711}, {p.dir, 0o711}, {p.upper, 0o755}, {p.work, 0o700}} {
		if err := os.Mkdir(d.path, d.mode); err != nil && !errors.Is(err, os.ErrExist) {
			if errors.Is(err, os.ErrNotExist) {
				err = os.MkdirAll(d.path, d.mode)
			}
			if err != nil {
				return errs.New(errs.Unavailable, "cannot make the container's folder: %w", roomless(err))
			}
		}
	}
	return nil
}

// roomless says of a full disk what to do about it.
func roomless(err error) error {
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		return fmt.Errorf("its disk is full, free some space there: %w", err)
	}
	return err
}

// dropLog removes the container's output.
func (p paths) dropLog() error {
	files, err := filepath.Glob(p.log + "*") // fails only for a bad pattern
	for _, f := range files {
		err = errors.Join(err, os.Remove(f))
	}
	return err
}

// writeFiles writes what a container sees as its /etc/hostname, /etc/hosts and
// /etc/resolv.conf. A container that shares another's network shares these too.
func (e *Engine) writeFiles(rec *container.Container, places []place) error {
	p := e.paths(rec.ID)
	name := spec.Hostname(rec.ID, rec.Config)
	if rec.HostConfig.UTSMode == "host" {
		name, _ = os.Hostname() // empty: an empty file
	}
	hosts, err := e.hosts(rec, name, places)
	if err != nil {
		return err
	}
	for _, f := range []struct {
		path string
		data []byte
	}{{p.hostname, []byte(name + "\n")}, {p.hosts, hosts}, {p.resolv, e.resolvConf(rec, places)}} {
		// Written in place: whoever has the old file mounted sees the new text.
		if err := os.WriteFile(f.path, f.data, 0o644); err != nil {
			return errs.New(errs.Unavailable, "cannot write %s: %w", f.path, roomless(err))
		}
	}
	return nil
}

const commonHosts = `127.0.0.1	localhost
::1	localhost ip6-localhost ip6-loopback
fe00::	ip6-localnet
ff00::	ip6-mcastprefix
ff02::1	ip6-allnodes
ff02::2	ip6-allrouters
`

func (e *Engine) hosts(rec *container.Container, name string, places []place) ([]byte, error) {
	var b bytes.Buffer
	if rec.HostConfig.NetworkMode == model.Host {
		data, err := os.ReadFile("/etc/hosts")
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, err
		}
		b.Write(data)
		if b.Len() > 0 && !bytes.HasSuffix(data, []byte("\n")) {
			b.WriteByte('\n')
		}
	} else {
		b.WriteString(commonHosts)
	}
	for _, extra := range rec.HostConfig.ExtraHosts {
		host, addr, _ := strings.Cut(extra, ":")
		addr = strings.Trim(addr, "[]")
		if addr == "host-gateway" {
			if addr = e.hostGateway(places); addr == "" {
				return nil, errs.New(errs.Invalid, "unable to derive the IP value for host-gateway: the container has no network that leads to the host")
			}
		}
		fmt.Fprintf(&b, "%s\t%s\n", addr, host)
	}
	b.WriteString(e.linkHosts(rec))
	own := name
	if d := rec.Config.Domainname; d != "" {
		own = name + "." + d + " " + name
	}
	for _, p := range places {
		fmt.Fprintf(&b, "%s\t%s\n", p.ep.IP.Addr(), own)
		if p.ep.IP6.IsValid() {
			fmt.Fprintf(&b, "%s\t%s\n", p.ep.IP6.Addr(), own)
		}
	}
	return b.Bytes(), nil
}

// hostGateway is an address of the host that the container reaches.
func (e *Engine) hostGateway(places []place) string {
	for _, p := range places {
		if p.ep.Default {
			return p.ep.Gateway.String()
		}
	}
	return ""
}

func (e *Engine) resolvConf(rec *container.Container, places []place) []byte {
	h := rec.HostConfig
	var servers []string
	hostServers, search, options := network.HostResolvConf()
	for _, a := range hostServers {
		servers = append(servers, a.String())
	}
	switch {
	case h.NetworkMode == model.Host:
		r := network.HostResolv() // its loopback is ours
		servers, search, options = nil, r.Search, r.Options
		for _, a := range r.Nameservers {
			servers = append(servers, a.String())
		}
	case named(places):
		servers, options = []string{"127.0.0.11"}, []string{"ndots:0"}
	}
	if len(h.DNS) > 0 && !named(places) {
		servers = h.DNS
	}
	if len(h.DNSSearch) > 0 {
		search = h.DNSSearch
	}
	if len(h.DNSOptions) > 0 {
		options = h.DNSOptions
	}
	var b bytes.Buffer
	for _, s := range servers {
		fmt.Fprintf(&b, "nameserver %s\n", s)
	}
	if len(search) > 0 && search[0] != "." {
		fmt.Fprintf(&b, "search %s\n", strings.Join(search, " "))
	}
	if len(options) > 0 {
		fmt.Fprintf(&b, "options %s\n", strings.Join(options, " "))
	}
	return b.Bytes()
}

// named reports whether names resolve on one of the places.
func named(places []place) bool {
	for _, p := range places {
		if userNetwork(p.net) {
			return true
		}
	}
	return false
}
