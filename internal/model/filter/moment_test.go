package filter_test

import (
	"testing"
	"time"

	"lus/internal/base/errs"
	"lus/internal/model/filter"
)

// The times of until filters are those of docker.
func TestMomentsAreDockers(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 5, 6, 7, 8, 9, 0, time.UTC)
	local := func(y int, m time.Month, d, h, min, s int) time.Time {
		return time.Date(y, m, d, h, min, s, 0, time.Local)
	}
	for value, want := range map[string]time.Time{
		"24h": now.Add(-24 * time.Hour), "1136073600": time.Unix(1136073600, 0), "1136073600.5": time.Unix(1136073600, 5e8),
		"2006-01-02T15:04:05Z": time.Date(2006, 1, 2, 15, 4, 5, 0, time.UTC), "2006-01-02T15:04:05.5+01:00": time.Date(2006, 1, 2, 14, 4, 5, 5e8, time.UTC),
		"2006-01-02T15:04:05": local(2006, 1, 2, 15, 4, 5), "2006-01-02T15:04": local(2006, 1, 2, 15, 4, 0), "2006-01-02": local(2006, 1, 2, 0, 0, 0),
	} {
		if got, err := filter.Moment(value, now); err != nil || !got.Equal(want) {
			t.Errorf("%s: %s, want %s (%v)", value, got, want, err)
		}
	}
	for _, value := range []string{"soon", "", "inf", "nan", "1e300"} {
		if got, err := filter.Moment(value, now); !errs.Is(err, errs.Invalid) {
			t.Errorf("%q: %s, %v", value, got, err)
		}
	}
}
