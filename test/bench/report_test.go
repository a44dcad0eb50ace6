package main

import (
	"slices"
	"strings"
	"testing"
)

func TestTheTableShowsMediansRatiosAndVerdicts(t *testing.T) {
	sides := func(lus ...float64) map[string][]float64 { return map[string][]float64{"lus": lus} }
	r := report{Sides: []string{"lus", "floor", "docker", "runc"}, Rows: []*row{
		{Name: "run", Unit: "ms", Goals: []goal{{Value: 12, Floors: 3.5}, {Value: 10, Floors: 2.4}}, Samples: map[string][]float64{
			"lus": {9, 11, 10}, "floor": {4, 4}, "docker": {280}, "runc": {25}}},
		{Name: "slow", Unit: "ms", Goals: atMost(8), Samples: sides(9)},
		{Name: "too many floors", Unit: "ms", Goals: []goal{{Value: 100, Floors: 2}}, Samples: map[string][]float64{"lus": {9}, "floor": {4}}},
		{Name: "no goal", Unit: "MB", Samples: sides(0.25)},
		{Name: "better than tightened", Unit: "ms", Goals: atMost(10, 8), Samples: sides(8)},
		{Name: "fast", Unit: "Gbit/s", Goals: atLeast(5), Samples: sides(5)},
		{Name: "too little", Unit: "%", Goals: atLeast(95), Samples: sides(94.9)},
		{Name: "frozen", Unit: "MB/s", Goals: atLeast(200), Samples: sides(0, 0, 0)},
		{Name: "of docker alone", Unit: "ms", Goals: atMost(8), Samples: map[string][]float64{"docker": {3}}},
	}}
	table := strings.Split(r.table(), "\n")
	for i, want := range []string{
		"medians|lus|floor|lus / floor|docker|docker / lus|runc|runc / lus|goal||",
		"",
		"run|10.0 ms|4.0 ms|2.5|280 ms|28.0|25.0 ms|2.5|12 ms and 3.5 floors; tightened: 10 ms and 2.4 floors|holds; tightened: MISSED",
		"slow|9.0 ms|||||||8 ms|MISSED",
		"too many floors|9.0 ms|4.0 ms|2.2|||||100 ms and 2.0 floors|MISSED",
		"no goal|0.25 MB||||||||",
		"better than tightened|8.0 ms|||||||10 ms; tightened: 8 ms|holds; tightened: holds",
		"fast|5.00 Gbit/s|||||||at least 5 Gbit/s|holds",
		"too little|94.9 %|||||||at least 95 %|MISSED",
		"frozen|0.0 MB/s|||||||at least 200 MB/s|MISSED",
		"of docker alone||||3.0 ms||||8 ms|",
	} {
		if got := cells(table[i]); want != "" && got != strings.TrimRight(want, "|") {
			t.Errorf("line %d is\n%s, want\n%s", i+1, got, want)
		}
	}
}

// cells is a line of the table without the blanks that align it.
func cells(line string) string {
	var out []string
	for cell := range strings.SplitSeq(strings.Trim(line, "|"), "|") {
		out = append(out, strings.TrimSpace(cell))
	}
	return strings.TrimRight(strings.Join(out, "|"), "|")
}

func TestOnlyTakesTheWordsOfGroups(t *testing.T) {
	names := []string{"bridge", "none", "exec"}
	for words, want := range map[string][]string{"": names, "exec": {"exec"}, "none,bridge": {"none", "bridge"}} {
		if got, err := choose(names, words); err != nil || !slices.Equal(got, want) {
			t.Errorf("-only %q chooses %v, %v; want %v", words, got, err, want)
		}
	}
	for _, words := range []string{"exe", "exec,", "exec,nine"} {
		if got, err := choose(names, words); err == nil || !strings.Contains(err.Error(), "bridge,none,exec") {
			t.Errorf("-only %q chooses %v, %v; want an error that names the groups", words, got, err)
		}
	}
}

func TestEveryGroupHasAWordOfItsOwn(t *testing.T) {
	names := groupNames()
	for i, name := range names {
		if slices.Contains(names[:i], name) || name == "" || strings.ContainsAny(name, ", ") {
			t.Errorf("%q is no word for -only, or another group has it", name)
		}
	}
}

func TestWhatOtherProgramsSayIsRead(t *testing.T) {
	ldd := "\tlinux-vdso.so.1 (0x00007f)\n\tlibc.so.6 => /lib/x/libc.so.6 (0x00007f)\n\t/lib64/ld-linux.so.2 (0x00007f)\n"
	if got := paths(ldd); !slices.Equal(got, []string{"/lib/x/libc.so.6", "/lib64/ld-linux.so.2"}) {
		t.Errorf("the libraries are %q", got)
	}
	if got := lastLine("exit status 1: warning\nError: no cgroups\n"); got != "Error: no cgroups" {
		t.Errorf("the reason is %q", got)
	}
	if got, err := received([]byte(`{"end": {"sum_sent": {"bits_per_second": 9e9}, "sum_received": {"bits_per_second": 2.5e9}}}`)); err != nil || got != 2.5 {
		t.Errorf("iperf3 received %v Gbit/s, %v", got, err)
	}
	for _, bad := range []string{"", `{"start": {}, "error": "unable to connect"}`} {
		if got, err := received([]byte(bad)); err == nil {
			t.Errorf("iperf3 received %v Gbit/s from %q", got, bad)
		}
	}
}
