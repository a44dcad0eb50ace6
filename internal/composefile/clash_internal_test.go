package composefile

import "testing"

// One port on two addresses of the host is a clash where one socket would be in
// the way of the other.
func TestWhichAddressesMeet(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{"", "", true}, {"", "127.0.0.1", true}, {"", "::1", true}, {"0.0.0.0", "127.0.0.1", true}, {"::", "::1", true}, {"::1", "::1", true},
		{"127.0.0.1", "127.0.0.2", false}, {"0.0.0.0", "::", false}, {"127.0.0.1", "::1", false},
	} {
		if meet(c.a, c.b) != c.want || meet(c.b, c.a) != c.want {
			t.Errorf("%q and %q meet: %v", c.a, c.b, !c.want)
		}
	}
}
