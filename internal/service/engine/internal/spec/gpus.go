package spec

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"tags.cncf.io/container-device-interface/pkg/parser"

	"lus/internal/base/errs"
	"lus/internal/model/container"
)

// A request for GPUs says how many, or which, in the words of a vendor's driver.
// Here it becomes the names of devices that the vendor described: whoever has a
// GPU for containers has such a description too.

// gpu is what all requests for GPUs want, and the class of their names.
const gpu = "gpu"

// vendors are those of the drivers that requests name, in the order in which
// they are taken where a request names none.
func vendors() []string { return []string{"nvidia", "amd", "intel"} }

// wantsGPU says that a request is for GPUs.
func wantsGPU(r container.DeviceRequest) bool {
	return slices.ContainsFunc(r.Capabilities, func(all []string) bool { return slices.Contains(all, gpu) })
}

func checkGPU(r container.DeviceRequest) error {
	switch {
	case r.Driver != "" && !slices.Contains(vendors(), r.Driver):
		return errs.New(errs.Unsupported, "could not select device driver %q with capabilities: %v: there are %s", r.Driver, r.Capabilities, strings.Join(vendors(), ", "))
	case r.Count != 0 && len(r.DeviceIDs) > 0:
		return invalid("cannot set both Count and DeviceIDs on device request: say how many GPUs, or which")
	case r.Count < -1:
		return invalid("%d is no number of GPUs: write one, or all", r.Count)
	case len(r.Options) > 0:
		return errs.New(errs.Unsupported, "options of a request for GPUs are not supported: what a GPU brings along is in its CDI specification")
	}
	return nil
}

// gpusOf are the names of the devices that a request for GPUs stands for, of all
// that there are. folders are where they are described.
func gpusOf(r container.DeviceRequest, all, folders []string) ([]string, error) {
	kind := kindOf(r.Driver, all)
	if kind == "" {
		return nil, errs.New(errs.Invalid, "could not select device driver %q with capabilities: %v: no CDI specification in %s describes a GPU%s: have its vendor's tool write one, as nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml",
			r.Driver, r.Capabilities, strings.Join(folders, ", "), map[bool]string{true: " of " + r.Driver}[r.Driver != ""])
	}
	var out []string
	for _, id := range r.DeviceIDs {
		if !parser.IsQualifiedName(id) {
			id = kind + "=" + id
		}
		out = append(out, id)
	}
	if len(r.DeviceIDs) > 0 {
		return out, nil
	}
	if r.Count < 0 && slices.Contains(all, kind+"=all") {
		return []string{kind + "=all"}, nil
	}
	single := singles(kind, all)
	if r.Count < 0 {
		return single, nil
	}
	if len(single) < r.Count {
		return nil, errs.New(errs.Invalid, "%d GPUs are asked for, and there are %d: %s", r.Count, len(single), strings.Join(single, ", "))
	}
	return single[:r.Count], nil
}

// kindOf is the vendor and class of the GPUs to take; empty where there are none.
func kindOf(driver string, all []string) string {
	for _, vendor := range vendors() {
		kind := vendor + ".com/" + gpu
		if (driver == "" || driver == vendor) && slices.ContainsFunc(all, func(name string) bool { return strings.HasPrefix(name, kind+"=") }) {
			return kind
		}
	}
	return ""
}

// singles are the GPUs of a kind that stand for one each. Where they are numbered
// their other names, such as serial numbers, are of the same ones.
func singles(kind string, all []string) []string {
	var numbered, other []string
	for _, name := range all {
		id, ok := strings.CutPrefix(name, kind+"=")
		switch _, err := strconv.ParseUint(id, 10, 32); {
		case !ok || id == "all":
		case err == nil:
			numbered = append(numbered, name)
		default:
			other = append(other, name)
		}
	}
	if len(numbered) == 0 {
		slices.Sort(other)
		return other
	}
	slices.SortFunc(numbered, func(a, b string) int { return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b)) })
	return numbered
}
