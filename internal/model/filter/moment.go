package filter

import (
	"strconv"
	"time"

	"lus/internal/base/errs"
)

// Moment reads the time in a filter as docker does: how long ago it was ("24h"), a
// date, which is this host's where it names no zone, or seconds since 1970.
func Moment(value string, now time.Time) (time.Time, error) {
	if d, err := time.ParseDuration(value); err == nil {
		return now.Add(-d), nil
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05", "2006-01-02T15:04", "2006-01-02T15", "2006-01-02", "2006-01-02Z07:00"} {
		if t, err := time.ParseInLocation(layout, value, time.Local); err == nil {
			return t, nil
		}
	}
	if sec, err := strconv.ParseFloat(value, 64); err == nil && sec >= 0 && sec < 1<<40 {
		return time.UnixMicro(int64(sec * 1e6)), nil
	}
	return time.Time{}, errs.New(errs.Invalid, "invalid time %q: write 24h, 2006-01-02T15:04:05Z or seconds since 1970", value)
}
