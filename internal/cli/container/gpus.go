package container

import (
	"encoding/csv"
	"strconv"
	"strings"

	"lus/internal/model/container"
)

// gpuRequest reads what --gpus asks for: all, a number, or NAME=VALUE with commas
// between, a value that has commas itself in quotes ("device=0,1").
func gpuRequest(text string) (container.DeviceRequest, error) {
	r := container.DeviceRequest{Capabilities: [][]string{{"gpu"}}, Options: map[string]string{}}
	fields, err := csv.NewReader(strings.NewReader(text)).Read()
	if err != nil {
		return r, invalid("--gpus %s: %v: write all, a number, or \"device=0,1\" with the quotes as part of it", text, err)
	}
	seen := map[string]bool{}
	for _, field := range fields {
		key, value, ok := strings.Cut(field, "=")
		if !ok {
			key, value = "count", field
		}
		if seen[key] {
			return r, invalid("--gpus %s: %s can be given once only", text, key)
		}
		seen[key] = true
		switch key {
		case "count":
			if r.Count, err = gpuCount(value); err != nil {
				return r, invalid("--gpus %s: %q is no number of GPUs: write all, a number, or \"device=0,1\" with the quotes as part of it", text, value)
			}
		case "device":
			r.DeviceIDs = strings.Split(value, ",")
		case "driver":
			r.Driver = value
		case "capabilities":
			r.Capabilities = [][]string{append(strings.Split(value, ","), "gpu")}
		case "options":
			options, err := csv.NewReader(strings.NewReader(value)).Read()
			if err != nil {
				return r, invalid("--gpus %s: %v", text, err)
			}
			for _, o := range options {
				name, value, _ := strings.Cut(o, "=")
				r.Options[name] = value
			}
		default:
			return r, invalid("--gpus %s: unknown key %s: there are count, device, driver, capabilities and options", text, key)
		}
	}
	if !seen["count"] && len(r.DeviceIDs) == 0 {
		r.Count = 1
	}
	return r, nil
}

func gpuCount(text string) (int, error) {
	if text == "all" {
		return -1, nil
	}
	return strconv.Atoi(text)
}
