// Package exact turns Go values into bytes and back so that nothing is lost:
// nil and empty lists, and pointers to zero values, stay what they are. It is for
// what the same program reads again: the bytes name neither fields nor types.
package exact

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"reflect"
)

// What an interface holds.
const (
	isNil = iota
	isBool
	isInt
	isInt64
	isUint64
	isFloat64
	isString
	isList
	isMap
)

// held are the types that an interface may hold, by what stands for them.
var held = map[byte]reflect.Type{
	isBool: reflect.TypeFor[bool](), isInt: reflect.TypeFor[int](), isInt64: reflect.TypeFor[int64](), isUint64: reflect.TypeFor[uint64](),
	isFloat64: reflect.TypeFor[float64](), isString: reflect.TypeFor[string](), isList: reflect.TypeFor[[]any](), isMap: reflect.TypeFor[map[string]any](),
}

// Marshal encodes what v points to. What cannot come back as it was (functions,
// channels, fields that are not exported) is an error.
func Marshal(v any) ([]byte, error) { return put(nil, reflect.ValueOf(v).Elem()) }

func put(b []byte, v reflect.Value) (_ []byte, err error) {
	switch v.Kind() {
	case reflect.Bool:
		if v.Bool() {
			return append(b, 1), nil
		}
		return append(b, 0), nil
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return binary.AppendVarint(b, v.Int()), nil
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return binary.AppendUvarint(b, v.Uint()), nil
	case reflect.Float32, reflect.Float64:
		return binary.BigEndian.AppendUint64(b, math.Float64bits(v.Float())), nil
	case reflect.String:
		b = binary.AppendUvarint(b, uint64(v.Len()))
		return append(b, v.String()...), nil
	case reflect.Pointer:
		if v.IsNil() {
			return append(b, 0), nil
		}
		return put(append(b, 1), v.Elem())
	case reflect.Slice:
		if v.IsNil() {
			return append(b, 0), nil
		}
		b = binary.AppendUvarint(b, uint64(v.Len())+1)
		for i := range v.Len() {
			if b, err = put(b, v.Index(i)); err != nil {
				return nil, err
			}
		}
		return b, nil
	case reflect.Map:
		return putMap(b, v)
	case reflect.Struct:
		for i := range v.NumField() {
			if f := v.Type().Field(i); !f.IsExported() {
				return nil, fmt.Errorf("exact: field %s of %s is not exported", f.Name, v.Type())
			}
			if b, err = put(b, v.Field(i)); err != nil {
				return nil, err
			}
		}
		return b, nil
	case reflect.Interface:
		return putHeld(b, v)
	}
	return nil, fmt.Errorf("exact: a %s cannot be encoded", v.Type())
}

func putMap(b []byte, v reflect.Value) (_ []byte, err error) {
	if v.IsNil() {
		return append(b, 0), nil
	}
	b = binary.AppendUvarint(b, uint64(v.Len())+1)
	for it := v.MapRange(); it.Next(); {
		if b, err = put(b, it.Key()); err != nil {
			return nil, err
		}
		if b, err = put(b, it.Value()); err != nil {
			return nil, err
		}
	}
	return b, nil
}

func putHeld(b []byte, v reflect.Value) ([]byte, error) {
	if v.IsNil() {
		return append(b, isNil), nil
	}
	for kind, t := range held {
		if v.Elem().Type() == t && v.NumMethod() == 0 {
			return put(append(b, kind), v.Elem())
		}
	}
	return nil, fmt.Errorf("exact: a %s in a %s cannot be encoded", v.Elem().Type(), v.Type())
}

// errShort is what bytes get that Marshal did not write.
var errShort = errors.New("exact: these bytes are no such value")

// deepest bounds how deep values nest.
const deepest = 1000

// Unmarshal sets what v points to, a zero value, to what Marshal was given.
func Unmarshal(data []byte, v any) error {
	r := &reader{rest: string(data)} // strings are parts of this one
	r.set(reflect.ValueOf(v).Elem(), 0)
	if r.err == nil && r.rest != "" {
		r.err = errShort
	}
	return r.err
}

type reader struct {
	rest string
	err  error
}

func (r *reader) fail() { r.err, r.rest = errShort, "" }

func (r *reader) byte() byte {
	s := r.take(1)
	if s == "" {
		return 0
	}
	return s[0]
}

func (r *reader) take(n int) string {
	if n < 0 || n > len(r.rest) {
		r.fail()
		return ""
	}
	s := r.rest[:n]
	r.rest = r.rest[n:]
	return s
}

func (r *reader) uint() uint64 {
	var x uint64
	for shift := 0; shift < 64; shift += 7 {
		c := r.byte()
		x |= uint64(c&0x7f) << shift
		if c < 0x80 {
			return x
		}
	}
	r.fail()
	return 0
}

// length is the length of a list or map; -1: nil. Each part has a byte at least.
func (r *reader) length() int {
	n := r.uint()
	if n > uint64(len(r.rest))+1 {
		r.fail()
		return -1
	}
	return int(n) - 1
}

func (r *reader) set(v reflect.Value, depth int) {
	if depth > deepest {
		r.fail()
	}
	if r.err != nil {
		return
	}
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(r.byte() == 1)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		u := r.uint()
		v.SetInt(int64(u>>1) ^ -int64(u&1))
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(r.uint())
	case reflect.Float32, reflect.Float64:
		if s := r.take(8); s != "" {
			v.SetFloat(math.Float64frombits(binary.BigEndian.Uint64([]byte(s))))
		}
	case reflect.String:
		if n := r.uint(); n <= uint64(len(r.rest)) {
			v.SetString(r.take(int(n)))
		} else {
			r.fail()
		}
	case reflect.Pointer:
		if r.byte() == 1 {
			v.Set(reflect.New(v.Type().Elem()))
			r.set(v.Elem(), depth+1)
		}
	case reflect.Slice:
		r.setList(v, depth)
	case reflect.Map:
		r.setMap(v, depth)
	case reflect.Struct:
		for i := range v.NumField() {
			r.set(v.Field(i), depth+1)
		}
	case reflect.Interface:
		r.setHeld(v, depth)
	default:
		r.fail()
	}
}

func (r *reader) setList(v reflect.Value, depth int) {
	n := r.length()
	if n < 0 {
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), n, n))
	for i := range n {
		r.set(v.Index(i), depth+1)
	}
}

func (r *reader) setMap(v reflect.Value, depth int) {
	n := r.length()
	if n < 0 {
		return
	}
	t := v.Type()
	m := reflect.MakeMapWithSize(t, n)
	for range n {
		key, value := reflect.New(t.Key()).Elem(), reflect.New(t.Elem()).Elem()
		r.set(key, depth+1)
		r.set(value, depth+1)
		if r.err != nil {
			return
		}
		m.SetMapIndex(key, value)
	}
	v.Set(m)
}

func (r *reader) setHeld(v reflect.Value, depth int) {
	kind := r.byte()
	if kind == isNil {
		return
	}
	t, ok := held[kind]
	if !ok {
		r.fail()
		return
	}
	inner := reflect.New(t).Elem()
	r.set(inner, depth+1)
	v.Set(inner)
}
