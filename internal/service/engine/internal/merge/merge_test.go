package merge_test

import (
	"slices"
	"testing"
	"time"

	"lus/internal/model/container"
	"lus/internal/service/engine/internal/merge"
)

func TestCommandAndEntrypoint(t *testing.T) {
	img := func(entry, cmd container.Strings) *container.Config {
		return &container.Config{Entrypoint: entry, Cmd: cmd}
	}
	l := func(s ...string) container.Strings { return s }
	for name, c := range map[string]struct {
		img         *container.Config
		entry, cmd  container.Strings
		want        []string
		wantRefusal bool
	}{
		"the image's":                       {img: img(l("e"), l("c")), want: l("e", "c")},
		"the command replaces the CMD":      {img: img(l("e"), l("c")), cmd: l("x", "y"), want: l("e", "x", "y")},
		"an entrypoint drops the CMD":       {img: img(l("e"), l("c")), entry: l("n"), want: l("n")},
		"both":                              {img: img(l("e"), l("c")), entry: l("n"), cmd: l("x"), want: l("n", "x")},
		"an empty entrypoint resets":        {img: img(l("e"), l("c")), entry: l(""), cmd: l("x"), want: l("x")},
		"an empty list resets, CMD stays":   {img: img(l("e"), l("c")), entry: container.Strings{}, want: l("c")},
		"nothing to run":                    {img: img(nil, nil), wantRefusal: true},
		"a reset entrypoint and no command": {img: img(l("e"), l("c")), entry: l(""), wantRefusal: true},
	} {
		got, err := merge.Config(&container.Config{Entrypoint: c.entry, Cmd: c.cmd}, c.img)
		if c.wantRefusal {
			if err == nil {
				t.Errorf("%s: accepted as %v", name, merge.Command(got))
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if !slices.Equal(merge.Command(got), c.want) {
			t.Errorf("%s: %v, want %v", name, merge.Command(got), c.want)
		}
	}
}

func TestTheRest(t *testing.T) {
	img := &container.Config{
		Env: []string{"PATH=/img", "A=image", "B=image"}, User: "app", WorkingDir: "/app", StopSignal: "SIGQUIT",
		Labels: map[string]string{"a": "1", "b": "1"}, Volumes: map[string]struct{}{"/v": {}}, ExposedPorts: map[string]struct{}{"80/tcp": {}},
		Cmd:         container.Strings{"run"},
		Healthcheck: &container.Healthcheck{Test: []string{"CMD", "check"}, Interval: time.Second, Retries: 7},
	}
	got, err := merge.Config(&container.Config{
		Env: []string{"A=user", "B"}, Labels: map[string]string{"b": "2"},
		ExposedPorts: map[string]struct{}{"443/tcp": {}},
		Healthcheck:  &container.Healthcheck{Timeout: time.Minute},
	}, img)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got.Env, []string{"A=user", "B", "PATH=/img"}) {
		t.Errorf("env %v", got.Env)
	}
	if got.User != "app" || got.WorkingDir != "/app" || got.StopSignal != "SIGQUIT" {
		t.Errorf("%+v", got)
	}
	if got.Labels["a"] != "1" || got.Labels["b"] != "2" || len(got.ExposedPorts) != 2 || len(got.Volumes) != 1 {
		t.Errorf("%+v", got)
	}
	if h := got.Healthcheck; h.Test[1] != "check" || h.Interval != time.Second || h.Timeout != time.Minute || h.Retries != 7 {
		t.Errorf("healthcheck %+v", h)
	}
	if len(img.Labels) != 2 || img.Labels["b"] != "1" {
		t.Error("the image's configuration was changed")
	}
	off, err := merge.Config(&container.Config{Healthcheck: &container.Healthcheck{Test: []string{"NONE"}}}, img)
	if err != nil || off.Healthcheck.Test[0] != "NONE" || len(off.Healthcheck.Test) != 1 {
		t.Errorf("NONE: %+v %v", off.Healthcheck, err)
	}
}
