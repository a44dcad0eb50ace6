package composefile

import (
	"reflect"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"
)

// siblingsOf lists the keys the specification knows at the place of path's last
// key, for suggestions.
func siblingsOf(path string) []string {
	parts := strings.Split(path, ".")
	var of any
	switch {
	case len(parts) == 1:
		of = types.Project{}
	case parts[0] == "services" && len(parts) == 3:
		of = types.ServiceConfig{}
	case parts[0] == "services" && len(parts) == 4:
		switch parts[2] {
		case "build":
			of = types.BuildConfig{}
		case "healthcheck":
			of = types.HealthCheckConfig{}
		case "deploy":
			of = types.DeployConfig{}
		case "logging":
			of = types.LoggingConfig{}
		default:
			return nil
		}
	case parts[0] == "networks" && len(parts) == 3:
		of = types.NetworkConfig{}
	case parts[0] == "volumes" && len(parts) == 3:
		of = types.VolumeConfig{}
	default:
		return nil
	}
	return keysOf(reflect.TypeOf(of))
}

func keysOf(t reflect.Type) []string {
	var keys []string
	for f := range t.Fields() {
		key, inline := keyOf(f)
		switch {
		case inline:
			keys = append(keys, keysOf(f.Type)...)
		case key != "":
			keys = append(keys, key)
		}
	}
	return keys
}
