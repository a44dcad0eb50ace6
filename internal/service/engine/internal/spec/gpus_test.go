package spec

import (
	"slices"
	"strings"
	"testing"

	"lus/internal/model/container"
)

func TestRequestsForGPUsBecomeNames(t *testing.T) {
	nvidia := []string{"nvidia.com/gpu=0", "nvidia.com/gpu=10", "nvidia.com/gpu=2", "nvidia.com/gpu=GPU-5f", "nvidia.com/gpu=all", "other.com/net=0"}
	amd := []string{"amd.com/gpu=b", "amd.com/gpu=a"}
	for _, c := range []struct {
		name    string
		request container.DeviceRequest
		all     []string
		want    string // names with spaces between, or part of what is said
	}{
		{"all, where a name stands for all", container.DeviceRequest{Count: -1}, nvidia, "nvidia.com/gpu=all"},
		{"all, where none does", container.DeviceRequest{Count: -1}, amd, "amd.com/gpu=a amd.com/gpu=b"},
		{"some, by their numbers", container.DeviceRequest{Count: 2}, nvidia, "nvidia.com/gpu=0 nvidia.com/gpu=2"},
		{"these", container.DeviceRequest{DeviceIDs: []string{"2", "GPU-5f"}}, nvidia, "nvidia.com/gpu=2 nvidia.com/gpu=GPU-5f"},
		{"one of a vendor", container.DeviceRequest{Driver: "amd", Count: 1}, append(amd, nvidia...), "amd.com/gpu=a"},
		{"more than there are", container.DeviceRequest{Count: 4}, nvidia, "4 GPUs are asked for, and there are 3: nvidia.com/gpu=0"},
		{"none described", container.DeviceRequest{Count: -1}, []string{"other.com/net=0"}, "no CDI specification in /etc/cdi describes a GPU: have"},
		{"none of that vendor", container.DeviceRequest{Driver: "nvidia", Count: -1}, amd, "describes a GPU of nvidia"},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.request.Capabilities = [][]string{{"gpu", "utility"}}
			if err := checkRequest(c.request); err != nil {
				t.Fatal(err)
			}
			names, err := Named(&container.HostConfig{Resources: container.Resources{DeviceRequests: []container.DeviceRequest{c.request}}}, slices.Clone(c.all), []string{"/etc/cdi"})
			if err != nil && !strings.Contains(err.Error(), c.want) || err == nil && strings.Join(names, " ") != c.want {
				t.Errorf("%v %v, want %s", names, err, c.want)
			}
		})
	}
}

func TestRequestsForGPUsThatSayTooMuch(t *testing.T) {
	for want, r := range map[string]container.DeviceRequest{
		"say how many GPUs, or which":                     {Count: 1, DeviceIDs: []string{"0"}},
		"-2 is no number of GPUs":                         {Count: -2},
		`could not select device driver "voodoo"`:         {Driver: "voodoo", Count: -1},
		"options of a request for GPUs are not supported": {Options: map[string]string{"a": "b"}},
	} {
		r.Capabilities = [][]string{{"gpu"}}
		if err := checkRequest(r); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %s", r, err, want)
		}
	}
}
