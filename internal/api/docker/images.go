package docker

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"

	"lus/internal/base/errs"
	"lus/internal/model/build"
	"lus/internal/model/container"
	"lus/internal/model/image"
)

func (h *handler) images() {
	h.handle("GET /images/json", h.listImages)
	h.handle("POST /images/create", h.createImage)
	h.handle("GET /images/get", h.saveImages)
	h.handle("POST /images/load", h.loadImages)
	h.handle("POST /images/prune", h.pruneImages)
	h.handle("GET /images/search", h.search)
	h.handle("GET /distribution/", h.distribution)
	// An image's name has slashes, so the verb is cut from the end by hand.
	h.handle("GET /images/", h.getImage)
	h.handle("POST /images/", h.postImage)
	h.handle("DELETE /images/", h.removeImage)
}

// imagePath cuts "/images/NAME/verb" into its name and verb.
func imagePath(r *http.Request) (name, verb string) {
	rest := strings.TrimPrefix(r.URL.Path, "/images/")
	i := strings.LastIndexByte(rest, '/')
	if i < 0 {
		return "", rest
	}
	return rest[:i], rest[i+1:]
}

func (h *handler) getImage(w http.ResponseWriter, r *http.Request) error {
	name, verb := imagePath(r)
	if name == "" {
		return errs.New(errs.NotFound, "page not found")
	}
	if verb == "json" || verb == "history" {
		if err := h.checkPlatform(r, name); err != nil {
			return err
		}
	}
	switch verb {
	case "json":
		img, err := h.Images.InspectImage(r.Context(), name)
		if err != nil {
			return err
		}
		return reply(w, http.StatusOK, inspectImage(img, virtualSize(r, img)))
	case "history":
		img, err := h.Images.InspectImage(r.Context(), name)
		if err != nil {
			return err
		}
		return reply(w, http.StatusOK, history(img))
	case "get":
		return h.save(w, r, []string{name})
	}
	return errs.New(errs.NotFound, "page not found")
}

func (h *handler) postImage(w http.ResponseWriter, r *http.Request) error {
	name, verb := imagePath(r)
	switch {
	case verb == "tag" && name != "":
		target := r.FormValue("repo")
		if tag := r.FormValue("tag"); tag != "" {
			target += ":" + tag
		}
		if err := h.Images.TagImage(r.Context(), name, target); err != nil {
			return err
		}
		w.WriteHeader(http.StatusCreated)
		return nil
	case verb == "push" && name != "":
		return h.pushImage(w, r, name)
	}
	return errs.New(errs.NotFound, "page not found")
}

func (h *handler) removeImage(w http.ResponseWriter, r *http.Request) error {
	name := strings.TrimPrefix(r.URL.Path, "/images/")
	if err := h.checkPlatform(r, name); err != nil {
		return err
	}
	removed, err := h.Images.RemoveImage(r.Context(), name, flag(r, "force"), !flag(r, "noprune"))
	if err != nil {
		return err
	}
	return reply(w, http.StatusOK, list(removed))
}

// auth reads a registry's credentials from X-Registry-Auth.
func auth(r *http.Request) (*image.Auth, error) {
	head := r.Header.Get("X-Registry-Auth")
	if head == "" {
		return nil, nil
	}
	data, err := base64.URLEncoding.DecodeString(head)
	if err != nil {
		if data, err = base64.StdEncoding.DecodeString(head); err != nil {
			return nil, errs.New(errs.Invalid, "X-Registry-Auth is not base64: %w", err)
		}
	}
	var a image.Auth
	if err := json.Unmarshal(data, &a); err != nil {
		return nil, errs.New(errs.Invalid, "X-Registry-Auth is not JSON: %w", err)
	}
	if a == (image.Auth{}) {
		return nil, nil
	}
	return &a, nil
}

// createImage pulls an image, or imports a tar where fromSrc says so.
func (h *handler) createImage(w http.ResponseWriter, r *http.Request) error {
	if r.FormValue("fromSrc") != "" {
		return h.importImage(w, r)
	}
	ref := r.FormValue("fromImage")
	if ref == "" {
		return errs.New(errs.Invalid, "fromImage or fromSrc must name what to make the image from")
	}
	if tag := r.FormValue("tag"); tag != "" {
		sep := ":"
		if strings.HasPrefix(tag, "sha256:") {
			sep = "@"
		}
		ref += sep + tag
	}
	a, err := auth(r)
	if err != nil {
		return err
	}
	out := newProgress(w)
	pull := h.Images.PullImage
	if !strings.ContainsAny(ref[strings.LastIndexByte(ref, '/')+1:], ":@") {
		pull = h.Images.PullTags
	}
	return out.end(pull(r.Context(), ref, r.FormValue("platform"), a, out.send))
}

func (h *handler) importImage(w http.ResponseWriter, r *http.Request) error {
	ref, message := r.FormValue("repo"), r.FormValue("message")
	if tag := r.FormValue("tag"); tag != "" && ref != "" {
		ref += ":" + tag
	}
	tar := h.unhurried(w, r, stallUpload)
	if src := r.FormValue("fromSrc"); src != "-" {
		body, err := download(r.Context(), src, stallDownload)
		if err != nil {
			return err
		}
		defer body.Close()
		tar = body
		if message == "" {
			message = "Imported from " + src
		}
	}
	out := newProgress(w)
	id, err := h.Images.ImportImage(r.Context(), tar, ref, r.FormValue("platform"), message, r.Form["changes"])
	if err == nil {
		out.send(image.Progress{Status: id})
	}
	return out.end(err)
}

// progress is a stream of messages; an error before the first is a plain one.
type progress struct {
	w     http.ResponseWriter
	begun bool
}

func newProgress(w http.ResponseWriter) *progress { return &progress{w: w} }

func (p *progress) send(m image.Progress) {
	if !p.begun {
		p.begun = true
		p.w.Header().Set("Content-Type", "application/json")
		p.w.WriteHeader(http.StatusOK)
	}
	data, err := json.Marshal(m)
	if err != nil {
		return
	}
	_, _ = p.w.Write(append(data, '\r', '\n'))
	flush(p.w)
}

func (p *progress) end(err error) error {
	if err != nil && p.begun {
		detail := &image.ErrorDetail{Message: err.Error()}
		var exit *build.ExitError
		if errors.As(err, &exit) {
			detail.Code = exit.Code
		}
		p.send(image.Progress{Error: err.Error(), ErrorIn: detail})
		return nil
	}
	return err
}

// imageAnswer is the body of GET /images/NAME/json.
type imageAnswer struct {
	ID            string `json:"Id"`
	RepoTags      []string
	RepoDigests   []string
	Parent        string
	Comment       string
	Created       time.Time
	DockerVersion string
	Author        string
	Config        imageConfig
	Architecture  string
	Variant       string `json:",omitempty"`
	Os            string
	Size          int64
	VirtualSize   int64 `json:",omitempty"`
	GraphDriver   graphDriver
	RootFS        rootFS
	Metadata      metadata
}

type rootFS struct {
	Type   string
	Layers []string
}

type metadata struct {
	LastTagTime time.Time
}

// virtualSize is the size under the name that clients before 1.44 read.
func virtualSize(r *http.Request, i *image.Image) int64 {
	if atLeast(r, "1.44") {
		return 0
	}
	return i.Size
}

// imageConfig is what an image says about its containers: of a container's
// configuration the part that an image can have.
type imageConfig struct {
	User         string                 `json:",omitempty"`
	ExposedPorts map[string]struct{}    `json:",omitempty"`
	Env          []string               `json:",omitempty"`
	Entrypoint   container.Strings      `json:",omitempty"`
	Cmd          container.Strings      `json:",omitempty"`
	Volumes      map[string]struct{}    `json:",omitempty"`
	WorkingDir   string                 `json:",omitempty"`
	Labels       map[string]string      `json:",omitempty"`
	StopSignal   string                 `json:",omitempty"`
	ArgsEscaped  bool                   `json:",omitempty"`
	Healthcheck  *container.Healthcheck `json:",omitempty"`
	OnBuild      []string               `json:",omitempty"`
	Shell        []string               `json:",omitempty"`
}

func configOf(c *container.Config) imageConfig {
	return imageConfig{
		User: c.User, ExposedPorts: c.ExposedPorts, Env: c.Env, Entrypoint: c.Entrypoint, Cmd: c.Cmd, Volumes: c.Volumes,
		WorkingDir: c.WorkingDir, Labels: c.Labels, StopSignal: c.StopSignal, ArgsEscaped: c.ArgsEscaped,
		Healthcheck: c.Healthcheck, OnBuild: c.OnBuild, Shell: c.Shell,
	}
}

func inspectImage(i *image.Image, virtual int64) imageAnswer {
	return imageAnswer{
		ID: i.ID, RepoTags: list(i.RepoTags), RepoDigests: list(i.RepoDigests), Comment: i.Comment, Created: i.Created,
		Author: i.Author, Config: configOf(&i.Config), Architecture: i.Architecture, Variant: i.Variant, Os: i.OS,
		Size: i.Size, VirtualSize: virtual, GraphDriver: imageFolders(i.Dirs),
		RootFS: rootFS{Type: "layers", Layers: list(i.Layers)}, Metadata: metadata{i.LastTagTime},
	}
}

// imageFolders tells of an image as of a container made from it: its topmost
// layer is the upper folder. Nothing is merged before there is a container.
func imageFolders(dirs []string) graphDriver {
	g := graphDriver{Name: "overlay2"}
	if len(dirs) > 0 {
		g.Data = map[string]string{"UpperDir": dirs[0]}
	}
	if len(dirs) > 1 {
		g.Data["LowerDir"] = strings.Join(dirs[1:], ":")
	}
	return g
}

// imageSummary is one row of GET /images/json.
type imageSummary struct {
	ID          string `json:"Id"`
	ParentID    string `json:"ParentId"`
	RepoTags    []string
	RepoDigests []string
	Created     int64
	Size        int64
	SharedSize  int64
	VirtualSize int64 `json:",omitempty"`
	Labels      map[string]string
	Containers  int64
}

func (h *handler) listImages(w http.ResponseWriter, r *http.Request) error {
	f, err := filters(r)
	if err != nil {
		return err
	}
	images, err := h.Images.ListImages(r.Context(), flag(r, "all"), f)
	if err != nil {
		return err
	}
	count, err := h.containersOfImages(r.Context())
	if err != nil {
		return err
	}
	out := make([]imageSummary, 0, len(images))
	for _, i := range images {
		s := summarizeImage(r, i)
		s.Containers = count[i.ID]
		out = append(out, s)
	}
	if !flag(r, "shared-size") {
		return reply(w, http.StatusOK, out)
	}
	usage, err := h.Images.Usage(r.Context())
	if err != nil {
		return err
	}
	for k := range out {
		for _, i := range usage.Images {
			if i.ID == out[k].ID {
				out[k].SharedSize = i.SharedSize
			}
		}
	}
	return reply(w, http.StatusOK, out)
}

// containersOfImages counts the containers made from each image, by its id.
func (h *handler) containersOfImages(ctx context.Context) (map[string]int64, error) {
	containers, err := h.Containers.ListContainers(ctx, container.ListOptions{All: true})
	if err != nil {
		return nil, err
	}
	count := map[string]int64{}
	for _, c := range containers {
		count[c.Image]++
	}
	return count, nil
}

// summarizeImage leaves out what takes long to find; -1 says so.
func summarizeImage(r *http.Request, i *image.Image) imageSummary {
	return imageSummary{
		ID: i.ID, RepoTags: list(i.RepoTags), RepoDigests: list(i.RepoDigests), Created: i.Created.Unix(),
		Size: i.Size, VirtualSize: virtualSize(r, i), SharedSize: -1, Containers: -1, Labels: i.Config.Labels,
	}
}

// historyItem is one row of GET /images/NAME/history, newest first.
type historyItem struct {
	ID        string `json:"Id"`
	Created   int64
	CreatedBy string
	Tags      []string
	Size      int64
	Comment   string
}

func history(i *image.Image) []historyItem {
	out := make([]historyItem, 0, len(i.History))
	for n := len(i.History) - 1; n >= 0; n-- {
		s := i.History[n]
		item := historyItem{ID: "<missing>", Created: s.Created.Unix(), CreatedBy: s.CreatedBy, Comment: s.Comment, Size: s.Size}
		if n == len(i.History)-1 {
			item.ID, item.Tags = i.ID, i.RepoTags
		}
		out = append(out, item)
	}
	return out
}

// distribution answers GET /distribution/NAME/json; a name has slashes.
func (h *handler) distribution(w http.ResponseWriter, r *http.Request) error {
	name, ok := strings.CutSuffix(strings.TrimPrefix(r.URL.Path, "/distribution/"), "/json")
	if !ok || name == "" {
		return errs.New(errs.NotFound, "page not found")
	}
	a, err := auth(r)
	if err != nil {
		return err
	}
	d, err := h.Images.Distribution(r.Context(), name, a)
	if err != nil {
		return err
	}
	return reply(w, http.StatusOK, d)
}
