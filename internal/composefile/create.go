package composefile

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/compose-spec/compose-go/v2/types"

	"lus/internal/base/errs"
	"lus/internal/model/compose"
	"lus/internal/model/container"
	"lus/internal/model/network"
)

// createRequest is the container a service asks for, in the words of the API.
func createRequest(p *types.Project, s types.ServiceConfig, image string, linked []string) (*container.CreateRequest, error) {
	host, err := hostConfig(p, s)
	if err != nil {
		return nil, err
	}
	check, err := healthcheck(s.HealthCheck)
	if err != nil {
		return nil, err
	}
	r := &container.CreateRequest{
		Config: container.Config{
			Hostname: s.Hostname, Domainname: s.DomainName, User: s.User, Image: image,
			Tty: s.Tty, OpenStdin: s.StdinOpen, Env: environment(s.Environment),
			Cmd: container.Strings(s.Command), Entrypoint: container.Strings(s.Entrypoint),
			WorkingDir: s.WorkingDir, StopSignal: s.StopSignal, Healthcheck: check,
			ExposedPorts: exposed(s), Labels: map[string]string{},
		},
		HostConfig: host,
	}
	if s.StopGracePeriod != nil {
		seconds := int(time.Duration(*s.StopGracePeriod).Round(time.Second).Seconds())
		r.StopTimeout = &seconds
	}
	maps.Copy(r.Labels, s.Labels)
	r.Labels[compose.LabelProject] = p.Name
	r.Labels[compose.LabelService] = s.Name
	r.Labels[compose.LabelOneoff] = "False"
	r.Labels[compose.LabelVersion] = labelVersion
	r.NetworkingConfig = networking(p, s, host, linked)
	return r, nil
}

func environment(m types.MappingWithEquals) []string {
	out := []string{}
	for _, k := range slices.Sorted(maps.Keys(m)) {
		// A name without a value that the user's environment does not have
		// either stays unset.
		if v := m[k]; v != nil {
			out = append(out, k+"="+*v)
		}
	}
	return out
}

func exposed(s types.ServiceConfig) map[string]struct{} {
	ports := map[string]struct{}{}
	for _, e := range s.Expose {
		if !strings.Contains(e, "/") {
			e += "/tcp"
		}
		ports[e] = struct{}{}
	}
	for _, p := range s.Ports {
		ports[portKey(p)] = struct{}{}
	}
	return ports
}

func portKey(p types.ServicePortConfig) string {
	return strconv.FormatUint(uint64(p.Target), 10) + "/" + cmp.Or(p.Protocol, "tcp")
}

func healthcheck(h *types.HealthCheckConfig) (*container.Healthcheck, error) {
	if h == nil {
		return nil, nil
	}
	if h.Disable {
		return &container.Healthcheck{Test: []string{"NONE"}}, nil
	}
	out := &container.Healthcheck{Test: h.Test}
	for _, d := range []struct {
		from *types.Duration
		to   *time.Duration
	}{{h.Interval, &out.Interval}, {h.Timeout, &out.Timeout}, {h.StartPeriod, &out.StartPeriod}, {h.StartInterval, &out.StartInterval}} {
		if d.from != nil {
			*d.to = time.Duration(*d.from)
		}
	}
	if h.Retries != nil {
		if *h.Retries > 1<<20 {
			return nil, errs.New(errs.Invalid, "healthcheck: retries: %d is too many", *h.Retries)
		}
		out.Retries = int(*h.Retries)
	}
	return out, nil
}

// networking names the service's networks, the one with the highest priority
// first: that one gives the default route.
func networking(p *types.Project, s types.ServiceConfig, host *container.HostConfig, linked []string) *container.NetworkingConfig {
	if s.NetworkMode != "" {
		host.NetworkMode = s.NetworkMode
		return nil
	}
	keys := slices.SortedFunc(maps.Keys(s.Networks), func(a, b string) int {
		return cmp.Or(cmp.Compare(priority(s, b), priority(s, a)), cmp.Compare(a, b))
	})
	if len(keys) == 0 {
		host.NetworkMode = "none"
		return nil
	}
	cfg := &container.NetworkingConfig{EndpointsConfig: map[string]*container.Endpoint{}}
	for i, key := range keys {
		name := p.Networks[key].Name
		if i == 0 {
			host.NetworkMode = name
		}
		e := &container.Endpoint{}
		n := s.Networks[key]
		// Names are known on networks of one's own alone.
		if !slices.Contains([]string{network.Bridge, network.Host, network.None}, name) {
			if n.ServiceNameAliasEnabled() {
				e.Aliases = append(e.Aliases, s.Name)
			}
			e.Aliases = append(e.Aliases, linked...)
		}
		for _, link := range s.ExternalLinks {
			other, alias, ok := strings.Cut(link, ":")
			if !ok {
				alias = other
			}
			e.Links = append(e.Links, other+":"+alias)
		}
		if n != nil {
			e.Aliases = append(e.Aliases, n.Aliases...)
			e.GwPriority, e.MacAddress, e.DriverOpts = n.GatewayPriority, n.MacAddress, interfaceName(n)
			if n.Ipv4Address != "" || n.Ipv6Address != "" {
				e.IPAMConfig = &container.EndpointIPAM{IPv4Address: n.Ipv4Address, IPv6Address: n.Ipv6Address}
			}
		}
		if i == 0 && e.MacAddress == "" {
			e.MacAddress = s.MacAddress
		}
		cfg.EndpointsConfig[name] = e
	}
	return cfg
}

// interfaceName are the options of a service's place on a network, with the name
// of its interface among them, as Docker has it.
func interfaceName(n *types.ServiceNetworkConfig) map[string]string {
	opts := maps.Clone(n.DriverOpts)
	if n.InterfaceName != "" {
		if opts == nil {
			opts = map[string]string{}
		}
		opts["com.docker.network.endpoint.ifname"] = n.InterfaceName
	}
	return opts
}

func priority(s types.ServiceConfig, key string) int {
	if n := s.Networks[key]; n != nil {
		return n.Priority
	}
	return 0
}
