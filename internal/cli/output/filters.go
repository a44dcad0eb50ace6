package output

import (
	"encoding/json"
	"net/url"
	"strings"

	"lus/internal/base/errs"
)

// Filters turns key=value flags into the query of a list.
func Filters(list []string) (url.Values, error) {
	q := url.Values{}
	if len(list) == 0 {
		return q, nil
	}
	f := map[string]map[string]bool{}
	for _, s := range list {
		key, value, ok := strings.Cut(s, "=")
		if !ok {
			return nil, errs.New(errs.Invalid, "invalid filter '%s': write key=value", s)
		}
		key = strings.ToLower(strings.TrimSpace(key))
		if f[key] == nil {
			f[key] = map[string]bool{}
		}
		f[key][strings.TrimSpace(value)] = true
	}
	data, err := json.Marshal(f)
	if err != nil {
		return nil, err
	}
	q.Set("filters", string(data))
	return q, nil
}
