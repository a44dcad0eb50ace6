package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// machine is where the figures were taken.
type machine struct {
	Kernel string  `json:"kernel"`
	CPU    string  `json:"cpu"`
	Cores  int     `json:"cores"`
	Memory float64 `json:"memory_mb"`
	Load   float64 `json:"load"`
	Date   string  `json:"date"`
}

func look() machine {
	m := machine{Cores: runtime.NumCPU(), Memory: field("/proc/meminfo", "MemTotal:"), Date: time.Now().Format(time.DateOnly), CPU: "unknown processor"}
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		m.Kernel = unix.ByteSliceToString(u.Release[:])
	}
	info, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(info)) {
		if name, ok := strings.CutPrefix(line, "model name"); ok {
			m.CPU = strings.Trim(name, "\t :\n")
			break
		}
	}
	load, _ := os.ReadFile("/proc/loadavg")
	if f := strings.Fields(string(load)); len(f) > 0 {
		m.Load, _ = strconv.ParseFloat(f[0], 64)
	}
	return m
}

func (m machine) String() string {
	return fmt.Sprintf("Linux %s, %d x %s, %.0f GB, load %.2f at the start, %s", m.Kernel, m.Cores, m.CPU, m.Memory/1024, m.Load, m.Date)
}

// report is everything a run found.
type report struct {
	Machine machine  `json:"machine"`
	Sides   []string `json:"sides"`
	Rows    []*row   `json:"rows"`
}

func (r *report) write(stdout io.Writer, markdown, asJSON string) error {
	table := r.table()
	if _, err := io.WriteString(stdout, table); err != nil {
		return err
	}
	if markdown != "" {
		if err := os.WriteFile(markdown, []byte(table), 0o644); err != nil {
			return err
		}
	}
	if asJSON == "" {
		return nil
	}
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(asJSON, append(data, '\n'), 0o644)
}

// table is markdown that reads well as text too: medians, ratios, goals.
func (r *report) table() string {
	head := []string{"medians", "lus", "floor", "lus / floor"}
	var others []string // beside Lus and the floor
	for _, name := range r.Sides {
		if name != "lus" && name != "floor" {
			others = append(others, name)
			head = append(head, name, name+" / lus")
		}
	}
	head = append(head, "goal", "")
	table := [][]string{head}
	for _, row := range r.Rows {
		lus := median(row.Samples["lus"])
		line := []string{row.Name, row.show("lus"), row.show("floor"), ratio(lus, median(row.Samples["floor"]))}
		for _, name := range others {
			line = append(line, row.show(name), ratio(median(row.Samples[name]), lus))
		}
		table = append(table, append(line, row.goal(), row.verdict()))
	}
	return align(table) + "\nTaken on " + r.Machine.String() + ".\n"
}

// show is the median of a side, empty where it was not measured.
func (r *row) show(side string) string {
	v := median(r.Samples[side])
	switch {
	case len(r.Samples[side]) == 0:
		return ""
	case v < 10 && (r.Unit == "MB" || r.Unit == "Gbit/s"):
		return fmt.Sprintf("%.2f %s", v, r.Unit)
	case v < 100:
		return fmt.Sprintf("%.1f %s", v, r.Unit)
	}
	return fmt.Sprintf("%.0f %s", v, r.Unit)
}

// goal names the goals: "12 ms and 3.5 floors; tightened: 9 ms and 2.7 floors".
func (r *row) goal() string {
	var texts []string
	for _, g := range r.Goals {
		texts = append(texts, g.text(r.Unit))
	}
	return strings.Join(texts, "; tightened: ")
}

func (g goal) text(unit string) string {
	if g.Of != "" {
		return fmt.Sprintf("%.1f of %s's", g.Share, g.Of)
	}
	var texts []string
	if g.Value > 0 {
		texts = append(texts, strconv.FormatFloat(g.Value, 'f', -1, 64)+" "+unit)
	}
	if g.Floors > 0 {
		texts = append(texts, fmt.Sprintf("%.1f floors", g.Floors))
	}
	text := strings.Join(texts, " and ")
	if g.AtLeast {
		text = "at least " + text
	}
	return text
}

// verdict says which goals hold: "holds; tightened: MISSED".
func (r *row) verdict() string {
	if len(r.Samples["lus"]) == 0 {
		return ""
	}
	var texts []string
	for _, g := range r.Goals {
		text := "MISSED"
		switch of := median(r.Samples[g.Of]); {
		case g.Of != "" && of == 0:
			text = "not compared"
		case g.Of != "":
			if median(r.Samples["lus"]) <= g.Share*of {
				text = "holds"
			}
		case g.holds(median(r.Samples["lus"]), median(r.Samples["floor"])):
			text = "holds"
		}
		texts = append(texts, text)
	}
	return strings.Join(texts, "; tightened: ")
}

func (g goal) holds(lus, floor float64) bool {
	if g.AtLeast {
		return lus >= g.Value && lus >= g.Floors*floor
	}
	return lus <= g.Value && (g.Floors == 0 || lus <= g.Floors*floor)
}

func ratio(a, b float64) string {
	if a == 0 || b == 0 {
		return ""
	}
	return fmt.Sprintf("%.1f", a/b)
}

func median(samples []float64) float64 {
	if len(samples) == 0 {
		return 0
	}
	s := slices.Clone(samples)
	slices.Sort(s)
	if n := len(s); n%2 == 0 {
		return (s[n/2-1] + s[n/2]) / 2
	}
	return s[len(s)/2]
}

func align(lines [][]string) string {
	widths := make([]int, len(lines[0]))
	for _, line := range lines {
		for i, cell := range line {
			widths[i] = max(widths[i], len(cell))
		}
	}
	var out strings.Builder
	for n, line := range lines {
		for i, cell := range line {
			fmt.Fprintf(&out, "| %-*s ", widths[i], cell)
		}
		out.WriteString("|\n")
		if n == 0 {
			for _, w := range widths {
				out.WriteString("|" + strings.Repeat("-", w+2))
			}
			out.WriteString("|\n")
		}
	}
	return out.String()
}
