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
	"lus/internal/model/image"
)

func (h *handler) system() {
	h.handle("GET /_ping", ping) // GET patterns answer HEAD too
	h.handle("GET /version", h.version)
	h.handle("GET /info", h.info)
	h.handle("GET /events", h.events)
	h.handle("GET /system/df", h.diskUsage)
	h.handle("POST /auth", h.auth)
}

func ping(w http.ResponseWriter, r *http.Request) error {
	head := w.Header()
	head.Set("Builder-Version", "2")
	head.Set("Swarm", "inactive")
	head.Set("Cache-Control", "no-cache, no-store, must-revalidate")
	head.Set("Pragma", "no-cache")
	head.Set("Content-Type", "text/plain; charset=utf-8")
	if r.Method == http.MethodHead {
		head.Set("Content-Length", "0")
		w.WriteHeader(http.StatusOK)
		return nil
	}
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write([]byte("OK"))
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
		"ApiVersion": Version, "MinAPIVersion": MinVersion, "Arch": runtime.GOARCH, "GitCommit": commit(),
		"GoVersion": runtime.Version(), "KernelVersion": kernel(), "Os": runtime.GOOS, "BuildTime": madeAt(),
	}
	answer := map[string]any{
		"Platform":   map[string]string{"Name": "Lus"},
		"Components": []map[string]any{{"Name": "Engine", "Version": version.String(), "Details": withExperimental(details)}},
		"Version":    version.String(),
	}
	for k, v := range details {
		answer[k] = v
	}
	return reply(w, http.StatusOK, answer)
}

func withExperimental(details map[string]string) map[string]string {
	out := maps.Clone(details)
	out["Experimental"] = "false"
	return out
}

// commit is the commit in the version, as git describes it.
func commit() string {
	_, after, ok := strings.Cut(version.String(), "-g")
	if !ok {
		return version.String()
	}
	hash, _, _ := strings.Cut(after, "-")
	return hash
}

// madeAt is when this program's file was made.
func madeAt() string {
	self, err := os.Executable()
	if err != nil {
		return ""
	}
	st, err := os.Stat(self)
	if err != nil {
		return ""
	}
	return st.ModTime().UTC().Format("2006-01-02T15:04:05.000000000+00:00")
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
	answer, err := h.hostFacts()
	if err != nil {
		return err
	}
	answer["Images"] = len(images)
	maps.Copy(answer, info)
	return reply(w, http.StatusOK, answer)
}

// system is the host's name for its system, as people read it.
func system() string {
	if name := release("PRETTY_NAME"); name != "" {
		return name
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
	h.listeners.Add(1)
	defer h.listeners.Add(-1)
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

// auth tries credentials at their registry. Nothing is kept: clients send
// them along with what needs them.
func (h *handler) auth(w http.ResponseWriter, r *http.Request) error {
	var a image.Auth
	if err := h.decode(w, r, &a); err != nil {
		return err
	}
	token, err := h.Images.Login(r.Context(), &a)
	if err != nil {
		return err
	}
	return reply(w, http.StatusOK, map[string]string{"Status": "Login Succeeded", "IdentityToken": token})
}
