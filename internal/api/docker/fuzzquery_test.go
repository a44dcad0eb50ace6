package docker_test

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"testing"
	"time"

	"lus/internal/api/docker"
	"lus/internal/model/build"
	"lus/internal/model/container"
	"lus/internal/model/filter"
)

// Filters reach the engine as the client wrote them, in the spelling of today
// and in that of old clients.
func FuzzFilters(f *testing.F) {
	f.Add(`{"label":["a=b","c"],"status":["running"]}`)
	f.Add(`{"label":{"a=b":true,"c":false}}`)
	f.Add(`{"id":null}`)
	f.Add(`[]`)
	f.Add(`{"a":["b"]}{`)
	e := &engine{c: sample()}
	h := docker.New(docker.Deps{Containers: e, Log: slog.New(slog.DiscardHandler)})
	f.Fuzz(func(t *testing.T, text string) {
		w := answered(t, h, "GET", "/v1.51/containers/json?filters="+url.QueryEscape(text), "")
		if w.Code != http.StatusOK || text == "" {
			return
		}
		got := e.last().(container.ListOptions).Filters
		var today filter.Filters
		if json.Unmarshal([]byte(text), &today) == nil {
			for key, values := range today {
				if !slices.Equal(got[key], values) {
					t.Fatalf("%q: of %q came %q", text, key, got[key])
				}
			}
			return
		}
		var old map[string]map[string]bool
		if json.Unmarshal([]byte(text), &old) != nil {
			t.Fatalf("%q was taken as %v", text, got)
		}
		for key, values := range old {
			for v, on := range values {
				if on != slices.Contains(got[key], v) {
					t.Fatalf("%q: %q of %q came as %q", text, v, key, got[key])
				}
			}
		}
	})
}

// A time of a query is the one that was meant, to the nanosecond.
func FuzzTimes(f *testing.F) {
	for _, s := range []string{"1.5", "1700000000.123456789", "0", "2020-01-01T00:00:00.5+02:00", "-1", "1e9", "9223372036854775807", "1.-5", "1.0000000001"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		log := make(records)
		close(log)
		e := &engine{c: sample(), log: log}
		h := docker.New(docker.Deps{Containers: e, Log: slog.New(slog.DiscardHandler)})
		w := answered(t, h, "GET", "/containers/x/logs?stdout=1&since="+url.QueryEscape(s), "")
		if w.Code != http.StatusOK || s == "" {
			return
		}
		got := e.last().(container.LogOptions).Since
		if want, err := strconv.ParseFloat(s, 64); err == nil && want != 0 {
			if d := math.Abs(float64(got.Unix()) + float64(got.Nanosecond())/1e9 - want); d > 1e-6*math.Max(1, math.Abs(want)/1e9) {
				t.Fatalf("%q was taken as %v", s, got)
			}
		} else if want, err := time.Parse(time.RFC3339Nano, s); err == nil && !want.Equal(got) {
			t.Fatalf("%q was taken as %v", s, got)
		}
	})
}

// builder takes every build.
type builder struct {
	docker.Builder
	asked *build.Request
}

func (b *builder) Build(_ context.Context, req *build.Request, _ io.Writer) (string, error) {
	b.asked = req
	return "sha256:1", nil
}

// The query of a build comes from outside as its context does.
func FuzzBuildQuery(f *testing.F) {
	f.Add(`t=a&t=b:1&buildargs={"A":null,"B":"c"}&labels={"l":"m"}&shmsize=67108864&q=1`)
	f.Add(`ulimits=[{"Name":"nofile","Soft":1,"Hard":2}]&cachefrom=["x"]&networkmode=none&version=1`)
	f.Add(`version=2&session=s&remote=client-session&outputs=[{"Type":"local","Attrs":{"a":"b"}}]`)
	f.Add(`squash=1`)
	f.Add(`buildargs=[]&shmsize=x&memory=5&extrahosts=a:1`)
	b := &builder{}
	h := docker.New(docker.Deps{Builder: b, Log: slog.New(slog.DiscardHandler)})
	f.Fuzz(func(t *testing.T, query string) {
		b.asked = nil
		w := answered(t, h, "POST", "/v1.51/build?"+query, "")
		if w.Code >= 400 {
			return
		}
		if b.asked == nil || b.asked.Classic == (b.asked.Trace != nil) || (b.asked.Remote != "") != (b.asked.Context == nil) {
			t.Fatalf("%q was answered %d for the request %+v", query, w.Code, b.asked)
		}
	})
}
