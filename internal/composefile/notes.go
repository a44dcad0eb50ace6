package composefile

import (
	"fmt"
	"maps"
	"slices"

	"github.com/compose-spec/compose-go/v2/types"
)

// notes names, with file and line, the keys that are read but change nothing
// here.
func notes(p *types.Project, docs documents) []string {
	var out []string
	say := func(why string, path ...string) {
		f := docs.at(path...)
		out = append(out, fmt.Sprintf("%s:%d: %s: %s", f.file, f.line, path[len(path)-1], why))
	}
	for _, d := range docs {
		if _, line := child(d.root, "version"); line > 0 {
			out = append(out, fmt.Sprintf("%s:%d: version: is obsolete and has no effect; remove it", d.file, line))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(p.Services)) {
		s := p.Services[name]
		for _, key := range idle(s) {
			say("is not carried out yet and has no effect", "services", name, key)
		}
	}
	if len(p.Models) > 0 {
		say("AI models are not run here", "models")
	}
	if len(p.Jobs) > 0 {
		say("is not carried out yet and has no effect", "jobs")
	}
	return out
}

// blkioDevices reports whether more than the weight is asked for, which is all
// that is carried out.
func blkioDevices(b *types.BlkioConfig) bool {
	return b != nil && len(b.WeightDevice)+len(b.DeviceReadBps)+len(b.DeviceReadIOps)+len(b.DeviceWriteBps)+len(b.DeviceWriteIOps) > 0
}

// idle lists the keys of a service that Lus reads and does not carry out.
func idle(s types.ServiceConfig) []string {
	var keys []string
	for key, set := range map[string]bool{
		"develop":         s.Develop != nil,
		"external_links":  len(s.ExternalLinks) > 0,
		"pre_start":       len(s.PreStart) > 0,
		"post_start":      len(s.PostStart) > 0,
		"pre_stop":        len(s.PreStop) > 0,
		"gpus":            len(s.Gpus) > 0,
		"credential_spec": s.CredentialSpec != nil,
		"cpu_count":       s.CPUCount != 0,
		"cpu_percent":     s.CPUPercent != 0,
		"use_api_socket":  s.UseAPISocket,
		"umask":           s.Umask != nil,
		"volume_driver":   s.VolumeDriver != "",
		"log_driver":      s.LogDriver != "",
		"log_opt":         len(s.LogOpt) > 0,
		"blkio_config":    blkioDevices(s.BlkioConfig),
	} {
		if set {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys
}
