package output

import (
	"bytes"
	"encoding/json"
	"math"
	"reflect"
)

// orders remembers in which order a document's objects had their keys. Templates
// need maps, which have none; `{{json .State}}` prints the object as the API
// wrote it.
type orders map[uintptr][]string

// decode reads a document. Whole numbers become int64, so that templates can
// compare and print them.
func (o orders) decode(doc []byte) (any, error) {
	dec := json.NewDecoder(bytes.NewReader(doc))
	dec.UseNumber()
	return o.value(dec)
}

func (o orders) value(dec *json.Decoder) (any, error) {
	tok, err := dec.Token()
	if err != nil {
		return nil, err
	}
	switch t := tok.(type) {
	case json.Delim:
		if t == '[' {
			return o.list(dec)
		}
		return o.object(dec)
	case json.Number:
		return number(t), nil
	}
	return tok, nil
}

func (o orders) list(dec *json.Decoder) (any, error) {
	out := []any{}
	for dec.More() {
		v, err := o.value(dec)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	_, err := dec.Token()
	return out, err
}

func (o orders) object(dec *json.Decoder) (any, error) {
	m := map[string]any{}
	keys := []string{}
	for dec.More() {
		tok, err := dec.Token()
		if err != nil {
			return nil, err
		}
		key, _ := tok.(string) // the decoder lets nothing else through
		if _, twice := m[key]; !twice {
			keys = append(keys, key)
		}
		if m[key], err = o.value(dec); err != nil {
			return nil, err
		}
	}
	o[reflect.ValueOf(m).Pointer()] = keys
	_, err := dec.Token()
	return m, err
}

func number(n json.Number) any {
	if i, err := n.Int64(); err == nil {
		return i
	}
	f, err := n.Float64()
	if err != nil || math.IsInf(f, 0) {
		return n.String()
	}
	return f
}

// encode writes a value of the document, or one that a template made.
func (o orders) encode(v any) (string, error) {
	var b bytes.Buffer
	err := o.write(&b, v)
	return b.String(), err
}

func (o orders) write(b *bytes.Buffer, v any) error {
	switch x := v.(type) {
	case []any:
		b.WriteByte('[')
		for i, e := range x {
			if i > 0 {
				b.WriteByte(',')
			}
			if err := o.write(b, e); err != nil {
				return err
			}
		}
		b.WriteByte(']')
		return nil
	case map[string]any:
		b.WriteByte('{')
		for i, key := range o[reflect.ValueOf(x).Pointer()] {
			if i > 0 {
				b.WriteByte(',')
			}
			if err := scalar(b, key); err != nil {
				return err
			}
			b.WriteByte(':')
			if err := o.write(b, x[key]); err != nil {
				return err
			}
		}
		b.WriteByte('}')
		return nil
	}
	return scalar(b, v)
}

func scalar(b *bytes.Buffer, v any) error {
	enc := json.NewEncoder(b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(v)
	b.Truncate(len(bytes.TrimRight(b.Bytes(), "\n")))
	return err
}

// rename lets templates say ID and APIVersion, as Docker's Go fields are called
// where JSON says Id and ApiVersion.
func rename(v any) {
	m, ok := v.(map[string]any)
	if !ok {
		return
	}
	for short, long := range map[string]string{"Id": "ID", "ApiVersion": "APIVersion"} {
		if value, has := m[short]; has && m[long] == nil {
			m[long] = value
		}
	}
	for _, inner := range m {
		rename(inner)
	}
}
