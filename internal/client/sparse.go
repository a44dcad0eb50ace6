package client

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
)

// Sparse is the body of a request that is nearly all zero, as that of a create:
// V, a struct or a pointer to one, is sent as JSON without the fields that are
// zero, which says the same to who decodes it into such a struct. encoding/json
// looks at every type within first, also at those nothing of which is sent: half
// a millisecond for the 130 fields of a container, in the start of each `run`.
type Sparse struct{ V any }

// MarshalJSON is the JSON of V.
func (s Sparse) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	err := appendSparse(&b, reflect.ValueOf(s.V))
	return b.Bytes(), err
}

var marshaler = reflect.TypeFor[json.Marshaler]()

// appendSparse writes structs field by field, and leaves all else to encoding/json.
func appendSparse(b *bytes.Buffer, v reflect.Value) error {
	of := v
	if v.IsValid() && v.Kind() == reflect.Pointer && !v.IsNil() && !v.Type().Implements(marshaler) {
		of = v.Elem()
	}
	if !of.IsValid() || of.Kind() != reflect.Struct || reflect.PointerTo(of.Type()).Implements(marshaler) {
		data, err := json.Marshal(ifAny(v))
		b.Write(data)
		return err
	}
	b.WriteByte('{')
	if err := appendFields(b, of); err != nil {
		return err
	}
	b.WriteByte('}')
	return nil
}

// ifAny is what v holds; nil of the invalid one.
func ifAny(v reflect.Value) any {
	if !v.IsValid() {
		return nil
	}
	return v.Interface()
}

// appendFields writes the fields of a struct that are not zero, those of embedded
// structs among them.
func appendFields(b *bytes.Buffer, v reflect.Value) error {
	t := v.Type()
	for i := range t.NumField() {
		f := t.Field(i)
		tag, tagged := f.Tag.Lookup("json")
		name, _, _ := strings.Cut(tag, ",")
		field := v.Field(i)
		switch {
		case tag == "-" || field.IsZero() || !f.IsExported() && !f.Anonymous:
			continue
		case f.Anonymous && !tagged && f.Type.Kind() == reflect.Struct:
			if err := appendFields(b, field); err != nil {
				return err
			}
			continue
		case name == "":
			name = f.Name
		}
		if !bytes.HasSuffix(b.Bytes(), []byte{'{'}) {
			b.WriteByte(',')
		}
		b.WriteByte('"')
		b.WriteString(name)
		b.WriteString(`":`)
		if err := appendSparse(b, field); err != nil {
			return err
		}
	}
	return nil
}
