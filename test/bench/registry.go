package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// packedSize is the size of the image that is pushed, which does not compress.
const packedSize = 500 << 20

// registry measures our own registry: a push of an image whose blobs exist, and
// how fast it serves a blob, beside a plain file server on the same file.
func (b *suite) registry() ([]*row, error) {
	at, err := b.lus.do("registry", "enable", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	defer func() { _, _ = b.lus.do("registry", "disable") }()
	_, port, err := net.SplitHostPort(strings.TrimSpace(at))
	if err != nil {
		return nil, err
	}
	host := "localhost:" + port
	dir, err := os.MkdirTemp(b.dir, "push-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	if err := noiseFile(filepath.Join(dir, "noise"), packedSize); err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte("FROM scratch\nCOPY noise /\n"), 0o600); err != nil {
		return nil, err
	}
	if _, err := b.lus.do("build", "-q", "-t", host+"/bench/big:0", dir); err != nil {
		return nil, err
	}
	pushed, err := b.pushes(host)
	if err != nil {
		return nil, err
	}
	served, err := b.serves(host)
	if err != nil {
		return nil, err
	}
	pulled, err := b.pulls(host)
	return []*row{pushed, served, pulled}, err
}

// pushes pushes once to have the blobs, and then the same image by other names.
func (b *suite) pushes(host string) (*row, error) {
	r := &row{Name: "push of 500 MB to our registry, its blobs there", Unit: "ms", Goals: atMost(300)}
	if _, err := b.lus.do("push", host+"/bench/big:0"); err != nil {
		return nil, err
	}
	for i := range b.samples {
		ref := fmt.Sprintf("%s/bench/copy%d:1", host, i)
		if _, err := b.lus.do("tag", host+"/bench/big:0", ref); err != nil {
			return nil, err
		}
		if err := r.timed(b.lus.name, only(b.lus, "push", ref)); err != nil {
			return nil, err
		}
		if _, err := b.lus.do("rmi", ref); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// serves reads the layer over loopback from the registry and from a plain file
// server, in turn: the same client, the same file.
func (b *suite) serves(host string) (*row, error) {
	r := &row{Name: "a blob of 500 MB from our registry (floor: a plain file server)", Unit: "MB/s", Goals: []goal{{Floors: 0.9, AtLeast: true}}}
	path, url, err := b.layer(host)
	if err != nil {
		return nil, err
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	plain := &http.Server{Handler: http.FileServer(http.Dir(filepath.Dir(path))), ReadHeaderTimeout: time.Minute}
	go func() { _ = plain.Serve(ln) }() // ends with the close below
	defer plain.Close()
	file := "http://" + ln.Addr().String() + "/" + filepath.Base(path)
	for i := range b.samples + 1 {
		for side, from := range map[string]string{b.lus.name: url, "floor": file} {
			rate, err := download(from)
			if err != nil {
				return nil, err
			}
			if i > 0 { // the first is to warm up
				r.add(side, rate)
			}
		}
	}
	return r, nil
}

// layer is the largest blob: where it lies, and where it is served.
func (b *suite) layer(host string) (path, url string, err error) {
	dir := filepath.Join(b.stack.Images(), "content", "blobs", "sha256")
	all, err := os.ReadDir(dir)
	if err != nil {
		return "", "", err
	}
	var most int64
	for _, e := range all {
		if i, err := e.Info(); err == nil && i.Size() > most {
			most, path = i.Size(), filepath.Join(dir, e.Name())
		}
	}
	return path, "http://" + host + "/v2/bench/big/blobs/sha256:" + filepath.Base(path), nil
}

// download reads url to its end and returns MB/s.
func download(url string) (float64, error) {
	begin := time.Now()
	req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, url, nil)
	if err != nil {
		return 0, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("%s: %s", url, resp.Status)
	}
	n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, resp.Body, make([]byte, 1<<20))
	return float64(n) / 1e6 / time.Since(begin).Seconds(), err
}

// noiseFile is a file that nothing makes smaller.
func noiseFile(path string, size int64) error {
	from, err := os.Open("/dev/urandom")
	if err != nil {
		return err
	}
	defer from.Close()
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	if _, err := io.CopyN(f, from, size); err != nil {
		_ = f.Close()
		return err
	}
	return f.Close()
}
