package image

import (
	"archive/tar"
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/url"
	"strconv"

	"github.com/docker/go-units"

	"lus/internal/base/errs"
	"lus/internal/model/image"
)

// tarBlock is as much of a stream as tells whether it is a tar.
const tarBlock = 512

// contextFrom returns a tar: the stream itself where it is one (or a compressed
// one), else a tar with the stream as its Dockerfile.
func contextFrom(in io.Reader) (io.Reader, error) {
	r := bufio.NewReaderSize(in, 4096)
	head, err := r.Peek(tarBlock)
	if len(head) == 0 {
		return nil, errs.New(errs.Invalid, "standard input is empty: pipe in a Dockerfile or a tar")
	}
	compressed := bytes.HasPrefix(head, []byte{0x1f, 0x8b}) || bytes.HasPrefix(head, []byte("BZh")) ||
		bytes.HasPrefix(head, []byte{0xfd, '7', 'z', 'X', 'Z'}) || bytes.HasPrefix(head, []byte{0x28, 0xb5, 0x2f, 0xfd})
	if compressed || err == nil && isTar(head) {
		return r, nil
	}
	text, err := io.ReadAll(io.LimitReader(r, 8<<20))
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	if err := w.WriteHeader(&tar.Header{Name: "Dockerfile", Mode: 0o644, Size: int64(len(text))}); err != nil {
		return nil, err
	}
	if _, err := w.Write(text); err != nil {
		return nil, err
	}
	return &b, w.Close()
}

func isTar(head []byte) bool {
	_, err := tar.NewReader(bytes.NewReader(head)).Next()
	return err == nil
}

// query is the build as Docker's endpoint takes it.
func (b *buildFlags) query() url.Values {
	q := url.Values{"t": b.Tags}
	for key, value := range map[string]string{"dockerfile": b.Dockerfile, "target": b.Target, "platform": b.Platform, "networkmode": b.NetworkMode} {
		if value != "" {
			q.Set(key, value)
		}
	}
	for key, on := range map[string]bool{"nocache": b.NoCache, "pull": b.Pull} {
		if on {
			q.Set(key, "1")
		}
	}
	if b.ShmSize > 0 {
		q.Set("shmsize", strconv.FormatInt(b.ShmSize, 10))
	}
	for key, value := range map[string]any{"buildargs": b.Args, "labels": b.Labels} {
		if data, err := json.Marshal(value); err == nil {
			q.Set(key, string(data))
		}
	}
	q["extrahosts"] = b.ExtraHosts
	var limits []map[string]any
	for _, l := range b.Ulimits {
		if u, err := units.ParseUlimit(l); err == nil { // checked before
			limits = append(limits, map[string]any{"Name": u.Name, "Soft": u.Soft, "Hard": u.Hard})
		}
	}
	if data, err := json.Marshal(limits); err == nil && limits != nil {
		q.Set("ulimits", string(data))
	}
	return q
}

// authConfig is the header with credentials for all registries.
func authConfig(all map[string]image.Auth) (map[string]string, error) {
	if len(all) == 0 {
		return nil, nil
	}
	data, err := json.Marshal(all)
	if err != nil {
		return nil, err
	}
	return map[string]string{"X-Registry-Config": base64.URLEncoding.EncodeToString(data)}, nil
}
