package client_test

import (
	"encoding/json"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"lus/internal/client"
	"lus/internal/model/container"
)

// What is decoded from the sparse body is what was meant, whatever is set.
func TestASparseBodySaysTheSame(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		same(t, r, new(container.CreateRequest), new(container.CreateRequest), new(container.CreateRequest))
		same(t, r, new(container.ExecConfig), new(container.ExecConfig), new(container.ExecConfig))
	}
}

// same fills v by chance and compares what the two bodies are decoded to.
func same(t *testing.T, r *rand.Rand, v, full, sparse any) {
	t.Helper()
	fill(r, reflect.ValueOf(v).Elem(), 0)
	want, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	got, err := client.Sparse{V: v}.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(want, full); err != nil {
		t.Fatalf("%v of %s", err, want)
	}
	if err := json.Unmarshal(got, sparse); err != nil {
		t.Fatalf("%v of %s", err, got)
	}
	// The fields that encoding/json leaves null where the sparse body has none
	// are the same once they were written again.
	a, _ := json.Marshal(full)
	b, _ := json.Marshal(sparse)
	if string(a) != string(b) {
		t.Fatalf("meant\n%s\nsent\n%s\nread\n%s", a, got, b)
	}
}

// fill sets about every second field.
func fill(r *rand.Rand, v reflect.Value, depth int) {
	if depth > 6 || r.IntN(2) == 0 && depth > 1 {
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() && v.Field(i).CanSet() {
				fill(r, v.Field(i), depth+1)
			}
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(r, v.Elem(), depth+1)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1+r.IntN(2), 2))
		for i := range v.Len() {
			fill(r, v.Index(i), depth+1)
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		key.SetString("80/tcp")
		fill(r, value, depth+1)
		v.SetMapIndex(key, value)
	case reflect.String:
		v.SetString([]string{"", "text", "with \"quotes\" & <signs>\n", "ünï"}[r.IntN(4)])
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64, reflect.Int32:
		v.SetInt(r.Int64N(1000))
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(uint64(r.IntN(200)))
	}
}

// A create of little is a small body, and a pointer to nothing much is sent.
func TestASparseBodyLeavesZeroOut(t *testing.T) {
	t.Parallel()
	zero := 0
	req := &container.CreateRequest{HostConfig: &container.HostConfig{AutoRemove: true}}
	req.Image, req.Cmd, req.StopTimeout = "busybox", []string{"true"}, &zero
	got, err := client.Sparse{V: req}.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{`"Image":"busybox"`, `"Cmd":["true"]`, `"StopTimeout":0`, `"HostConfig":{"AutoRemove":true}`} {
		if !strings.Contains(string(got), part) {
			t.Errorf("no %s in %s", part, got)
		}
	}
	if len(got) > 120 {
		t.Errorf("%d bytes: %s", len(got), got)
	}
}
