package container

import (
	"cmp"
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/docker/go-units"

	"lus/internal/cli/output"
)

// Summary is a line of GET /containers/json.
type Summary struct {
	ID              string `json:"Id"`
	Names           []string
	Image           string
	ImageID         string
	Command         string
	Created         int64
	Ports           []port
	SizeRw          int64
	SizeRootFs      int64
	Labels          map[string]string
	State           string
	Status          string
	NetworkSettings struct{ Networks map[string]any }
	Mounts          []struct{ Type, Name, Source, Driver string }
}

type port struct {
	IP          string
	PrivatePort uint16
	PublicPort  uint16
	Type        string
}

// Row is a line for those who print more than a list.
type Row = row

// row is one container; its methods are the fields of templates.
type row struct {
	s     Summary
	trunc bool
}

// NewRow is a container's line, with ids and the like cut short or whole.
func NewRow(s Summary, trunc bool) Row { return Row{s, trunc} }

// ID is the container's id.
func (r row) ID() string {
	if r.trunc {
		return r.s.ID[:min(12, len(r.s.ID))]
	}
	return r.s.ID
}

func (r row) Names() string {
	var names []string
	for _, n := range r.s.Names {
		n = strings.TrimPrefix(n, "/")
		if r.trunc && strings.Contains(n, "/") {
			continue // a name that another container's link gave
		}
		names = append(names, n)
	}
	return strings.Join(names, ",")
}

func (r row) Image() string {
	switch {
	case r.s.Image == "":
		return "<no image>"
	case r.trunc && r.s.Image == r.s.ImageID:
		id := strings.TrimPrefix(r.s.ImageID, "sha256:")
		return id[:min(12, len(id))]
	}
	return r.s.Image
}

func (r row) Command() string {
	c := r.s.Command
	if r.trunc {
		c = output.Ellipsis(c, 20)
	}
	return strconv.Quote(c)
}

func (r row) CreatedAt() string { return time.Unix(r.s.Created, 0).String() }

func (r row) RunningFor() string {
	return units.HumanDuration(time.Since(time.Unix(r.s.Created, 0))) + " ago"
}

// Platform is that of the image's manifest, which this engine does not tell
// apart from the image.
func (r row) Platform() *struct{} { return nil }

func (r row) State() string  { return r.s.State }
func (r row) Status() string { return r.s.Status }
func (r row) Ports() string  { return ports(r.s.Ports) }

func (r row) Size() string {
	s := units.HumanSizeWithPrecision(float64(r.s.SizeRw), 3)
	if r.s.SizeRootFs > 0 {
		s += fmt.Sprintf(" (virtual %s)", units.HumanSizeWithPrecision(float64(r.s.SizeRootFs), 3))
	}
	return s
}

func (r row) Labels() string { return output.Labels(r.s.Labels) }

// Label is one label's value.
func (r row) Label(name string) string { return r.s.Labels[name] }

func (r row) Mounts() string {
	var out []string
	for _, m := range r.s.Mounts {
		name := cmp.Or(m.Name, m.Source)
		if r.trunc {
			name = output.Ellipsis(name, 15)
		}
		out = append(out, name)
	}
	return strings.Join(out, ",")
}

func (r row) LocalVolumes() string {
	n := 0
	for _, m := range r.s.Mounts {
		if m.Driver == "local" {
			n++
		}
	}
	return strconv.Itoa(n)
}

func (r row) Networks() string {
	return strings.Join(slices.Sorted(maps.Keys(r.s.NetworkSettings.Networks)), ",")
}

// ports writes ports as Docker does: runs of neighbours as one range.
func ports(list []port) string {
	list = slices.Clone(list)
	slices.SortFunc(list, func(a, b port) int {
		return cmp.Or(cmp.Compare(a.PrivatePort, b.PrivatePort), strings.Compare(a.IP, b.IP),
			cmp.Compare(a.PublicPort, b.PublicPort), strings.Compare(a.Type, b.Type))
	})
	type run struct{ first, last uint16 }
	runs := map[string]run{}
	var keys, hosts, out []string
	for _, p := range list {
		key := p.Type
		if p.IP != "" {
			if p.PublicPort != p.PrivatePort {
				hosts = append(hosts, fmt.Sprintf("%s->%d/%s", net.JoinHostPort(p.IP, strconv.Itoa(int(p.PublicPort))), p.PrivatePort, p.Type))
				continue
			}
			key = p.IP + "/" + p.Type
		}
		r, ok := runs[key]
		switch {
		case !ok:
			runs[key] = run{p.PrivatePort, p.PrivatePort}
			keys = append(keys, key)
		case p.PrivatePort == r.last+1:
			runs[key] = run{r.first, p.PrivatePort}
		default:
			out = append(out, portRun(key, r.first, r.last))
			runs[key] = run{p.PrivatePort, p.PrivatePort}
		}
	}
	for _, key := range keys {
		out = append(out, portRun(key, runs[key].first, runs[key].last))
	}
	return strings.Join(append(out, hosts...), ", ")
}

func portRun(key string, first, last uint16) string {
	text := strconv.Itoa(int(first))
	if last != first {
		text += "-" + strconv.Itoa(int(last))
	}
	ip, proto, published := strings.Cut(key, "/")
	if !published {
		return text + "/" + key
	}
	return net.JoinHostPort(ip, text) + "->" + text + "/" + proto
}
