package spec

import (
	"strings"
	"testing"

	"lus/internal/model/container"
)

func TestWhatHasNoEffectIsWarnedOf(t *testing.T) {
	t.Parallel()
	yes, no, some, unset := true, false, int64(10), int64(-1)
	ports := container.PortMap{"80/tcp": {{}}}
	for _, c := range []struct {
		h    container.HostConfig
		has  kernel
		want string // of each warning a word, by commas
	}{
		{container.HostConfig{}, kernel{}, ""},
		{container.HostConfig{Resources: container.Resources{Memory: 1 << 30}}, kernel{swap: true}, ""},
		{container.HostConfig{Resources: container.Resources{Memory: 1 << 30}}, kernel{}, "without swap"},
		{container.HostConfig{Resources: container.Resources{Memory: 1 << 30, MemorySwap: -1}}, kernel{}, ""},
		{container.HostConfig{Resources: container.Resources{MemorySwappiness: &some}}, kernel{}, ""},
		{container.HostConfig{Resources: container.Resources{MemorySwappiness: &some}}, kernel{v2: true}, "swappiness discarded"},
		{container.HostConfig{Resources: container.Resources{MemorySwappiness: &unset}}, kernel{v2: true}, ""},
		{container.HostConfig{Resources: container.Resources{OomKillDisable: &yes}}, kernel{v2: true}, "OomKillDisable discarded"},
		{container.HostConfig{Resources: container.Resources{OomKillDisable: &no}}, kernel{v2: true}, ""},
		{container.HostConfig{Resources: container.Resources{OomKillDisable: &yes}}, kernel{}, "no memory limit is set"},
		{container.HostConfig{Resources: container.Resources{OomKillDisable: &yes, Memory: 1 << 30}}, kernel{swap: true}, ""},
		{container.HostConfig{NetworkMode: "host", PortBindings: ports}, kernel{}, "Published ports are discarded"},
		{container.HostConfig{NetworkMode: "bridge", PortBindings: ports}, kernel{}, ""},
	} {
		got := warnings(&c.h, c.has)
		if (len(got) == 1) != (c.want != "") || len(got) > 1 || !strings.Contains(strings.Join(got, ""), c.want) {
			t.Errorf("%+v on %+v: %q, want %q", c.h, c.has, got, c.want)
		}
	}
}
