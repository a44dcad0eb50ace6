package composefile

import (
	"reflect"
	"strconv"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"
)

// place is where a key stands: as written (services.web.image), and with what
// users name replaced by stars (services.*.image).
type place struct {
	path    []string
	pattern string
}

func (p place) below(name, pattern string) place {
	if p.pattern != "" {
		pattern = p.pattern + "." + pattern
	}
	return place{append(p.path[:len(p.path):len(p.path)], name), pattern}
}

// walk visits every key of v that has a value. visit says whether to go on
// below it.
func walk(v reflect.Value, at place, visit func(place, reflect.Value) bool) {
	for v.Kind() == reflect.Pointer {
		if v.IsNil() {
			return
		}
		v = v.Elem()
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			field := v.Type().Field(i)
			key, inline := keyOf(field)
			switch {
			case inline:
				walk(v.Field(i), at, visit)
			case key != "" && !empty(v.Field(i)):
				if below := at.below(key, key); visit(below, v.Field(i)) {
					walk(v.Field(i), below, visit)
				}
			}
		}
	case reflect.Map:
		if holdsKeys(v.Type()) {
			for it := v.MapRange(); it.Next(); {
				walk(it.Value(), at.below(it.Key().String(), "*"), visit)
			}
		}
	case reflect.Slice:
		if holdsKeys(v.Type()) {
			for i := range v.Len() {
				walk(v.Index(i), at.below(strconv.Itoa(i), "*"), visit)
			}
		}
	}
}

// empty says that a key was not given; a list or mapping with nothing in it asks
// for nothing either.
func empty(v reflect.Value) bool {
	return v.IsZero() || (v.Kind() == reflect.Map || v.Kind() == reflect.Slice) && v.Len() == 0
}

// holdsKeys says whether a list's or mapping's elements have keys of their own.
func holdsKeys(t reflect.Type) bool {
	for t.Kind() == reflect.Map || t.Kind() == reflect.Slice || t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t.Kind() == reflect.Struct
}

// keyOf is the key a field of the library's types is read from: nothing for
// what no file says. The keys of an inline field stand beside those around it.
func keyOf(f reflect.StructField) (key string, inline bool) {
	tag, rest, _ := strings.Cut(f.Tag.Get("yaml"), ",")
	switch {
	case !f.IsExported(), tag == "-", f.Type == reflect.TypeFor[types.Extensions]():
		return "", false
	case f.Anonymous && strings.Contains(rest, "inline"):
		return "", true
	case tag == "":
		return strings.ToLower(f.Name), false
	}
	return tag, false
}
