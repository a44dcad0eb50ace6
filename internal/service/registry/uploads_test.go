package registry_test

import (
	"bufio"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	api "lus/internal/api/registry"
	"lus/internal/service/registry"
	"lus/internal/store/sqlite"
	"lus/test/need"
)

// begin starts an upload and returns its path.
func (w *world) begin(user, repo string) string {
	w.t.Helper()
	return w.want(http.StatusAccepted, user, "POST", "/v2/"+repo+"/blobs/uploads/", "").header.Get("Location")
}

func TestABlobComesInChunks(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	at := w.begin("me", "me/app")
	a := w.want(http.StatusAccepted, "me", "PATCH", at, "hello ", "Content-Range", "0-5")
	if a.header.Get("Range") != "0-5" {
		t.Error(a.header)
	}
	// A chunk that does not follow, one that lies about its length, one without sense.
	for _, c := range []struct {
		header string
		status int
		code   string
	}{{"0-5", 416, "BLOB_UPLOAD_INVALID"}, {"9-14", 416, "BLOB_UPLOAD_INVALID"}, {"6-100", 413, "SIZE_INVALID"}, {"x-y", 416, "BLOB_UPLOAD_INVALID"}, {"5-3", 416, "BLOB_UPLOAD_INVALID"}} {
		a := w.want(c.status, "me", "PATCH", at, "world!", "Content-Range", c.header)
		if a.code() != c.code {
			t.Errorf("%s: %s", c.header, a.body)
		}
		if h := a.header; c.status == 416 && (h.Get("Range") != "0-5" || h.Get("Location") != at) {
			t.Errorf("%s: where to go on: %v", c.header, h)
		}
	}
	if a := w.want(http.StatusNoContent, "me", "GET", at, ""); a.header.Get("Range") != "0-5" {
		t.Errorf("where to go on: %v", a.header)
	}
	w.want(http.StatusAccepted, "me", "PATCH", at, "world", "Content-Range", "6-10")
	w.want(http.StatusCreated, "me", "PUT", at+"?digest="+dig("hello world!"), "!", "Content-Range", "11-11")
	if a := w.want(http.StatusOK, "", "GET", "/v2/me/app/blobs/"+dig("hello world!"), ""); a.body != "hello world!" {
		t.Error(a.body)
	}
	w.want(http.StatusNotFound, "me", "GET", at, "") // it ended
}

// A client that dies in the middle of a chunk goes on from what came.
func TestAnUploadThatBreaksOffIsResumed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	at := w.begin("me", "me/app")
	conn, err := net.Dial("tcp", strings.TrimPrefix(w.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(conn, "PATCH %s HTTP/1.1\r\nHost: x\r\nAuthorization: Basic bWU6\r\nContent-Length: 100\r\n\r\nhalf", at)
	// What it sent is taken once it is gone.
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err == nil {
		if resp.StatusCode != http.StatusBadRequest {
			t.Errorf("a truncated chunk: %d", resp.StatusCode)
		}
		resp.Body.Close()
	}
	conn.Close()
	if a := w.want(http.StatusNoContent, "me", "GET", at, ""); a.header.Get("Range") != "0-3" {
		t.Fatal(a.header)
	}
	w.want(http.StatusCreated, "me", "PUT", at+"?digest="+dig("half and half"), " and half", "Content-Range", "4-12")
}

// Who stands still in the middle of an upload is let go, and may come back.
func TestAClientThatStandsStillIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	srv := httptest.NewServer(api.New(api.Deps{Registry: w, Auth: byName{}, Stall: 100 * time.Millisecond}))
	t.Cleanup(srv.Close)
	at := w.begin("me", "me/app")
	conn, err := net.Dial("tcp", strings.TrimPrefix(srv.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "PATCH %s HTTP/1.1\r\nHost: x\r\nAuthorization: Basic bWU6\r\nContent-Length: 100\r\n\r\nhalf", at)
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusBadRequest {
		t.Error(resp.Status)
	}
	if a := w.want(http.StatusNoContent, "me", "GET", at, ""); a.header.Get("Range") != "0-3" {
		t.Error(a.header)
	}
}

func TestWhatHasAnotherDigestIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	at := w.begin("me", "me/app")
	if a := w.want(http.StatusBadRequest, "me", "PUT", at, "x"); a.code() != "DIGEST_INVALID" {
		t.Errorf("without a digest: %s", a.body)
	}
	for _, bad := range []string{"sha256:12", "md5:" + strings.Repeat("0", 32), "nothing", "sha256:" + strings.Repeat("g", 64)} {
		if a := w.want(http.StatusBadRequest, "me", "PUT", at+"?digest="+bad, "x"); a.code() != "DIGEST_INVALID" {
			t.Errorf("%s: %s", bad, a.body)
		}
	}
	if a := w.want(http.StatusBadRequest, "me", "PUT", at+"?digest="+dig("y"), "x"); a.code() != "DIGEST_INVALID" {
		t.Error(a.body)
	}
	w.want(http.StatusNotFound, "me", "HEAD", "/v2/me/app/blobs/"+dig("x"), "")
	w.want(http.StatusNotFound, "me", "HEAD", "/v2/me/app/blobs/"+dig("y"), "")
	w.want(http.StatusNotFound, "me", "GET", at, "")
	if a := w.want(http.StatusBadRequest, "me", "POST", "/v2/me/app/blobs/uploads/?digest="+dig("y"), "x"); a.code() != "DIGEST_INVALID" {
		t.Error(a.body)
	}
}

func TestAnUploadIsItsRepositorysAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t, registry.Limits{Uploads: 1, Idle: time.Hour})
	at := w.begin("me", "me/app")
	id := at[strings.LastIndexByte(at, '/')+1:]
	w.want(http.StatusNotFound, "you", "PATCH", "/v2/you/app/blobs/uploads/"+id, "x")
	w.want(http.StatusForbidden, "you", "PATCH", at, "x")
	w.want(http.StatusNotFound, "me", "PATCH", "/v2/me/app/blobs/uploads/../../x", "x")
	if a := w.want(http.StatusTooManyRequests, "me", "POST", "/v2/me/app/blobs/uploads/", ""); a.code() != "TOOMANYREQUESTS" {
		t.Error(a.body)
	}
	w.want(http.StatusNoContent, "me", "DELETE", at, "")
	w.want(http.StatusNotFound, "me", "DELETE", at, "")
	// One that nobody goes on with ends.
	at = w.begin("me", "me/app")
	w.ahead.Store(int64(2 * time.Hour))
	if c, err := w.Collect(t.Context(), 0, false); err != nil || c.Uploads != 1 {
		t.Errorf("%+v %v", c, err)
	}
	w.want(http.StatusNotFound, "me", "GET", at, "")
}

func TestManyPushTheSameAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for range 5 {
				w.push("me", "me/app", fmt.Sprint("t", i), "one", "two", fmt.Sprint("own ", i))
			}
		})
	}
	wg.Go(func() { // collecting meanwhile, without grace for what nobody names
		for range 20 {
			if _, err := w.Collect(t.Context(), time.Hour, true); err != nil {
				t.Error(err)
			}
		}
	})
	wg.Wait()
	if a := w.want(http.StatusOK, "", "GET", "/v2/me/app/tags/list", ""); strings.Count(a.body, `"t`) != 9 { // 8, and the word tags
		t.Error(a.body)
	}
	for i := range 8 {
		w.want(http.StatusOK, "", "GET", "/v2/me/app/blobs/"+dig(fmt.Sprint("own ", i)), "")
	}
}

// A client that asks again while its upload is being given up for a full disk is
// told of the disk, and not that nobody knows of its upload.
func TestARefusalIsToldToWhoAsksAgainAtOnce(t *testing.T) {
	t.Parallel()
	need.Root(t)
	w := newWorld(t)
	full := filepath.Join(w.dir, "images", "content", "ingest")
	if err := os.MkdirAll(full, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", full, "tmpfs", 0, "size=1m"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(full, unix.MNT_DETACH) })
	at := w.begin("me", "me/app")
	w.want(http.StatusAccepted, "me", "PATCH", at, "some")

	held, free := make(chan struct{}), make(chan struct{})
	var all sync.WaitGroup
	all.Go(func() {
		err := w.db.Write(t.Context(), sqlite.Crash, func(*sql.Tx) error { close(held); <-free; return nil })
		if err != nil {
			t.Error(err)
		}
	})
	<-held // so that giving it up takes as long as this test wants
	more := strings.Repeat("x", 2<<20)
	all.Go(func() {
		if a := w.do("me", "PATCH", at, more); a.status != http.StatusServiceUnavailable {
			t.Errorf("%d %s", a.status, a.body)
		}
	})
	for { // until it has begun to be given up
		entries, err := os.ReadDir(full)
		if err != nil {
			t.Fatal(err)
		}
		if len(entries) == 0 {
			break
		}
		time.Sleep(time.Millisecond)
	}
	a := w.do("me", "PATCH", at, more)
	if a.status != http.StatusServiceUnavailable || !strings.Contains(a.body, "full") {
		t.Errorf("asked again, it says %d %s", a.status, a.body)
	}
	close(free)
	all.Wait()
}

// An upload that is refused for the quota in its last step leaves no record, and
// whoever asks again is told why.
func TestAnUploadOverTheQuotaLeavesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if err := w.SetQuota(t.Context(), "me", 100); err != nil {
		t.Fatal(err)
	}
	one, two := strings.Repeat("1", 60), strings.Repeat("2", 60)
	at := w.begin("me", "me/app")
	w.want(http.StatusCreated, "me", "PUT", at+"?digest="+dig(one), one)
	at = w.begin("me", "me/app")
	w.want(http.StatusAccepted, "me", "PATCH", at, two)
	for range 2 {
		if a := w.want(http.StatusForbidden, "me", "PUT", at+"?digest="+dig(two), ""); !strings.Contains(a.body, "quota") {
			t.Error(a.body)
		}
	}
	var left int
	err := w.db.Read(t.Context(), func(tx *sql.Tx) error {
		return tx.QueryRow("SELECT count(*) FROM registry_uploads").Scan(&left)
	})
	if err != nil || left != 0 {
		t.Errorf("%d records of uploads are left, %v", left, err)
	}
}

// A blob that came whole, and whose record then finds no room, is refused for the
// full disk too, also to who asks again.
func TestFullRecordsAreAFullDisk(t *testing.T) {
	t.Parallel()
	need.Root(t)
	dir, roomy := t.TempDir(), t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=2m"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	images := filepath.Join(dir, "images")
	if err := os.Mkdir(images, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount(roomy, images, "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(images, unix.MNT_DETACH) })
	w := newWorldIn(t, dir)
	ballast := filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 2<<20), 0o600); !errors.Is(err, unix.ENOSPC) {
		t.Fatalf("the disk is not full: %v", err)
	}
	for n := 0; ; n++ {
		blob, at := fmt.Sprint("blob ", n), w.begin("me", "me/app")
		a := w.do("me", "PUT", at+"?digest="+dig(blob), blob)
		if a.status == http.StatusCreated && n < 10_000 {
			continue
		}
		again := w.do("me", "PUT", at+"?digest="+dig(blob), blob)
		for _, a := range []answer{a, again} {
			if a.status != http.StatusServiceUnavailable || !strings.Contains(a.body, "the disk of the registry is full") {
				t.Errorf("blob %d: %d %s", n, a.status, a.body)
			}
		}
		break
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	w.want(http.StatusCreated, "me", "PUT", w.begin("me", "me/app")+"?digest="+dig("more"), "more")
}
