package registry

import (
	"errors"
	"io"
	"net/http"
	"strconv"

	"lus/internal/base/errs"
	"lus/internal/model/registry"
)

func (c *call) getManifest() error {
	m, err := c.Registry.Manifest(c.r.Context(), c.who, c.repo, c.rest, c.r.Method == http.MethodGet)
	if err != nil {
		return err
	}
	h := c.w.Header()
	h.Set("Content-Type", m.MediaType)
	h.Set("Content-Length", strconv.FormatInt(m.Size, 10))
	h.Set("Docker-Content-Digest", m.Digest)
	h.Set("Etag", `"`+m.Digest+`"`)
	if c.r.Header.Get("If-None-Match") == `"`+m.Digest+`"` {
		h.Del("Content-Length")
		c.w.WriteHeader(http.StatusNotModified)
		return nil
	}
	_, err = c.w.Write(m.Raw) // nothing of a HEAD
	return ended(err)
}

func (c *call) putManifest() error {
	raw, err := io.ReadAll(http.MaxBytesReader(c.w, io.NopCloser(c.body()), maxManifest))
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return registry.Fail(errs.Invalid, registry.SizeInvalid, "the manifest is larger than %d bytes", maxManifest)
	}
	if err != nil {
		return registry.Fail(errs.Invalid, registry.ManifestInvalid, "the manifest broke off: %s", err)
	}
	digest, subject, err := c.Registry.PutManifest(c.r.Context(), c.who, c.repo, c.rest, c.r.Header.Get("Content-Type"), raw)
	if err != nil {
		return err
	}
	h := c.w.Header()
	h.Set("Location", Prefix+c.repo+"/manifests/"+digest)
	h.Set("Docker-Content-Digest", digest)
	if subject != "" {
		h.Set("Oci-Subject", subject)
	}
	c.w.WriteHeader(http.StatusCreated)
	return nil
}

func (c *call) deleteManifest() error {
	if err := c.Registry.DeleteManifest(c.r.Context(), c.who, c.repo, c.rest); err != nil {
		return err
	}
	c.w.WriteHeader(http.StatusAccepted)
	return nil
}

func (c *call) tags() error {
	p, err := c.page()
	if err != nil {
		return err
	}
	tags, more, err := c.Registry.Tags(c.r.Context(), c.who, c.repo, p)
	if err != nil {
		return err
	}
	if more && len(tags) > 0 {
		c.next(p, tags[len(tags)-1])
	}
	if tags == nil {
		tags = []string{}
	}
	c.json(http.StatusOK, "application/json", map[string]any{"name": c.repo, "tags": tags})
	return nil
}

func (c *call) catalog() error {
	p, err := c.page()
	if err != nil {
		return err
	}
	names, more, err := c.Registry.Repositories(c.r.Context(), c.who, p)
	if err != nil {
		return err
	}
	if more && len(names) > 0 {
		c.next(p, names[len(names)-1])
	}
	c.json(http.StatusOK, "application/json", map[string]any{"repositories": names})
	return nil
}

const typeIndex = "application/vnd.oci.image.index.v1+json"

func (c *call) referrers() error {
	p, err := c.page()
	if err != nil {
		return err
	}
	kind := c.r.URL.Query().Get("artifactType")
	found, more, err := c.Registry.Referrers(c.r.Context(), c.who, c.repo, c.rest, kind, p)
	if err != nil {
		return err
	}
	if kind != "" {
		c.w.Header().Set("Oci-Filters-Applied", "artifactType")
	}
	if more && len(found) > 0 {
		c.next(p, found[len(found)-1].Digest)
	}
	c.json(http.StatusOK, typeIndex, map[string]any{"schemaVersion": 2, "mediaType": typeIndex, "manifests": found})
	return nil
}
