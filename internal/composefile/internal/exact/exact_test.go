package exact_test

import (
	"math"
	"reflect"
	"testing"

	"lus/internal/composefile/internal/exact"
)

type inner struct {
	Name string
	On   *bool
}

type outer struct {
	B      bool
	I      int
	I8     int8
	U      uint32
	F      float32
	D      float64
	S      string
	Nil    []string
	Empty  []string
	List   []inner
	Deep   **inner
	NoMap  map[string]string
	Map    map[string]*inner
	ByNum  map[int]string
	Any    any
	Anys   map[string]any
	Bytes  []byte
	Nested struct{ X, Y int }
}

func whole() *outer {
	no, p := false, &inner{Name: "deep"}
	return &outer{
		B: true, I: math.MinInt, I8: -128, U: math.MaxUint32, F: 0.1, D: math.Inf(-1), S: "a\x00ü",
		Empty: []string{}, List: []inner{{}, {Name: "n", On: &no}}, Deep: &p,
		Map: map[string]*inner{"": nil, "x": {}}, ByNum: map[int]string{-1: "minus"},
		Any:  []any{nil, true, 1, int64(-2), uint64(math.MaxUint64), 1.5, "s", map[string]any{"k": []any{}}},
		Anys: map[string]any{}, Bytes: []byte{0, 255}, Nested: struct{ X, Y int }{1, -1},
	}
}

func TestWhatIsEncodedComesBackAsItWas(t *testing.T) {
	for _, in := range []*outer{{}, whole()} {
		data, err := exact.Marshal(in)
		if err != nil {
			t.Fatal(err)
		}
		var out outer
		if err := exact.Unmarshal(data, &out); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(in, &out) {
			t.Errorf("%+v came back as %+v", in, out)
		}
	}
}

func TestWhatCannotComeBackIsRefused(t *testing.T) {
	for _, in := range []any{&struct{ hidden int }{1}, &struct{ F func() }{func() {}}, &struct{ A any }{inner{}}, &struct{ A any }{int8(1)}} {
		if _, err := exact.Marshal(in); err == nil {
			t.Errorf("%T was encoded", in)
		}
	}
}

// FuzzUnmarshal: whatever the bytes are, they are a value or an error.
func FuzzUnmarshal(f *testing.F) {
	data, err := exact.Marshal(whole())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte{})
	f.Fuzz(func(_ *testing.T, data []byte) {
		var out outer
		_ = exact.Unmarshal(data, &out)
	})
}
