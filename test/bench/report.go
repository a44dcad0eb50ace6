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
	withDocker := slices.Contains(r.Sides, "docker")
	if withDocker {
		head = append(head, "docker", "docker / lus")
	}
	head = append(head, "goal", "")
	lines := [][]string{head}
	for _, row := range r.Rows {
		lus, floor := median(row.Samples["lus"]), median(row.Samples["floor"])
		line := []string{row.Name, row.show(lus), row.show(floor), ratio(lus, floor)}
		if withDocker {
			docker := median(row.Samples["docker"])
			line = append(line, row.show(docker), ratio(docker, lus))
		}
		lines = append(lines, append(line, row.goal(), row.verdict(lus, floor)))
	}
	return align(lines) + "\nTaken on " + r.Machine.String() + ".\n"
}

func (r *row) show(v float64) string {
	switch {
	case v == 0:
		return ""
	case r.Unit == "MB" && v < 10:
		return fmt.Sprintf("%.2f MB", v)
	case v < 100:
		return fmt.Sprintf("%.1f %s", v, r.Unit)
	}
	return fmt.Sprintf("%.0f %s", v, r.Unit)
}

func (r *row) goal() string {
	if r.Goal == 0 {
		return ""
	}
	text := strconv.FormatFloat(r.Goal, 'f', -1, 64) + " " + r.Unit
	if r.Floors > 0 {
		text += fmt.Sprintf(" and %.1f floors", r.Floors)
	}
	return text
}

// verdict says whether the goal holds.
func (r *row) verdict(lus, floor float64) string {
	switch {
	case r.Goal == 0:
		return ""
	case lus <= r.Goal && (r.Floors == 0 || lus <= r.Floors*floor):
		return "holds"
	}
	return "MISSED"
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
