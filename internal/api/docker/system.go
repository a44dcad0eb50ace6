package docker

import (
	"encoding/json"
	"maps"
	"math"
	"net/http"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"lus/internal/base/errs"
	"lus/internal/base/version"
)

func (h *handler) system() {
	h.handle("GET /_ping", ping) // GET patterns answer HEAD too
	h.handle("GET /version", h.version)
	h.handle("GET /info", h.info)
	h.handle("GET /events", h.events)
	h.handle("POST /auth", h.auth)
}

func ping(w http.ResponseWriter, r *http.Request) error {
	head := w.Header()
	head.Set("Docker-Experimental", "false")
	head.Set("Builder-Version", "2")
	head.Set("Swarm", "inactive")
	head.Set("Cache-Control", "no-cache, no-store, must-revalidate")
	head.Set("Pragma", "no-cache")
	head.Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(http.StatusOK)
	if r.Method != http.MethodHead {
		_, _ = w.Write([]byte("OK"))
	}
	return nil
}

func kernel() string {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return ""
	}
	return unix.ByteSliceToString(u.Release[:])
}

func (h *handler) version(w http.ResponseWriter, _ *http.Request) error {
	details := map[string]string{
		"ApiVersion": Version, "MinAPIVersion": MinVersion, "Arch": runtime.GOARCH,
		"GoVersion": runtime.Version(), "KernelVersion": kernel(), "Os": runtime.GOOS,
	}
	answer := map[string]any{
		"Platform":   map[string]string{"Name": "Lus"},
		"Components": []map[string]any{{"Name": "Engine", "Version": version.String(), "Details": details}},
		"Version":    version.String(),
	}
	for k, v := range details {
		if k == "Os" || k == "Arch" || k == "ApiVersion" || k == "MinAPIVersion" || k == "GoVersion" || k == "KernelVersion" {
			answer[k] = v
		}
	}
	return reply(w, http.StatusOK, answer)
}

func (h *handler) info(w http.ResponseWriter, r *http.Request) error {
	info, err := h.System.Info(r.Context())
	if err != nil {
		return err
	}
	images, err := h.Images.ListImages(r.Context(), false, nil)
	if err != nil {
		return err
	}
	var sys unix.Sysinfo_t
	if err := unix.Sysinfo(&sys); err != nil {
		return err
	}
	host, err := os.Hostname()
	if err != nil {
		return err
	}
	answer := map[string]any{
		"Name": host, "OperatingSystem": system(), "Images": len(images), "MemTotal": sys.Totalram * uint64(sys.Unit),
		"ServerVersion": version.String(), "KernelVersion": kernel(), "OSType": runtime.GOOS,
		"Architecture": machine(), "NCPU": runtime.NumCPU(), "IndexServerAddress": "https://index.docker.io/v1/",
		"Swarm":             map[string]any{"LocalNodeState": "inactive", "NodeID": "", "ControlAvailable": false},
		"Plugins":           map[string]any{"Volume": []string{"local"}, "Network": []string{"bridge", "host", "ipvlan", "macvlan", "null"}, "Log": []string{"lus"}},
		"ExperimentalBuild": false, "LiveRestoreEnabled": true,
	}
	maps.Copy(answer, info)
	return reply(w, http.StatusOK, answer)
}

// system is the host's name for its system, as people read it.
func system() string {
	data, err := os.ReadFile("/etc/os-release")
	if err != nil {
		return runtime.GOOS
	}
	for line := range strings.Lines(string(data)) {
		if name, ok := strings.CutPrefix(line, "PRETTY_NAME="); ok {
			return strings.Trim(strings.TrimSpace(name), `"`)
		}
	}
	return runtime.GOOS
}

func machine() string {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return runtime.GOARCH
	}
	return unix.ByteSliceToString(u.Machine[:])
}

func (h *handler) events(w http.ResponseWriter, r *http.Request) error {
	since, err := moment(r.FormValue("since"))
	if err != nil {
		return err
	}
	until, err := moment(r.FormValue("until"))
	if err != nil {
		return err
	}
	f, err := filters(r)
	if err != nil {
		return err
	}
	events, err := h.System.Events(r.Context(), since, until, f)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusOK)
	flush(w) // clients wait for the head before they do what they watch for
	out := json.NewEncoder(w)
	for e := range events {
		if err := out.Encode(e); err != nil {
			return errs.New(errs.Unavailable, "the client went away: %w", err)
		}
		flush(w)
	}
	return nil
}

// moment reads a time as clients send it: seconds since 1970 with a fraction,
// or RFC 3339. Empty and 0 are no time.
func moment(s string) (time.Time, error) {
	if s == "" || s == "0" {
		return time.Time{}, nil
	}
	if t, err := time.Parse(time.RFC3339Nano, s); err == nil {
		return t, nil
	}
	whole, fraction, _ := strings.Cut(s, ".")
	sec, err := strconv.ParseInt(whole, 10, 64)
	if err != nil || sec > math.MaxInt64/int64(time.Second) || sec < 0 {
		return time.Time{}, errs.New(errs.Invalid, "%q is not a time: send seconds since 1970 or RFC 3339", s)
	}
	var nano int64
	if fraction != "" {
		digits := (fraction + "000000000")[:9]
		if nano, err = strconv.ParseInt(digits, 10, 64); err != nil || nano < 0 {
			return time.Time{}, errs.New(errs.Invalid, "%q is not a time: send seconds since 1970 or RFC 3339", s)
		}
	}
	return time.Unix(sec, nano), nil
}

func (h *handler) auth(http.ResponseWriter, *http.Request) error {
	return errs.New(errs.Unsupported, "credentials are not checked here: put them into the credential file with `lus login`, pulls use them")
}
