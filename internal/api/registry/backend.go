package registry

import (
	"context"
	"io"
	"net/http"

	"lus/internal/model/registry"
)

// Registry is what the edge serves. Each call checks what the caller may do; a
// refusal wraps a registry.Code.
type Registry interface {
	Repositories(ctx context.Context, who registry.Who, p registry.Page) (names []string, more bool, err error)
	Tags(ctx context.Context, who registry.Who, repository string, p registry.Page) (tags []string, more bool, err error)
	// Referrers lists the manifests whose subject is the digest, of one artifact
	// type where kind is not empty.
	Referrers(ctx context.Context, who registry.Who, repository, digest, kind string, p registry.Page) (found []registry.Descriptor, more bool, err error)

	// Manifest finds a manifest by tag or digest, with its bytes where body is set.
	Manifest(ctx context.Context, who registry.Who, repository, ref string, body bool) (*registry.Manifest, error)
	PutManifest(ctx context.Context, who registry.Who, repository, ref, mediaType string, raw []byte) (digest, subject string, err error)
	DeleteManifest(ctx context.Context, who registry.Who, repository, ref string) error

	BlobSize(ctx context.Context, who registry.Who, repository, digest string) (int64, error)
	// OpenBlob opens the blob: its file, where it has one yet.
	OpenBlob(ctx context.Context, who registry.Who, repository, digest string) (io.ReadSeekCloser, error)
	DeleteBlob(ctx context.Context, who registry.Who, repository, digest string) error
	// Mount links a blob of another repository; false: upload it.
	Mount(ctx context.Context, who registry.Who, repository, digest, from string) (bool, error)

	StartUpload(ctx context.Context, who registry.Who, repository string) (id string, err error)
	UploadSize(ctx context.Context, who registry.Who, repository, id string) (int64, error)
	// AppendUpload and FinishUpload add what body gives at offset from (negative:
	// at the end).
	AppendUpload(ctx context.Context, who registry.Who, repository, id string, from int64, body io.Reader) (size int64, err error)
	FinishUpload(ctx context.Context, who registry.Who, repository, id string, from int64, body io.Reader, digest string) error
	CancelUpload(ctx context.Context, who registry.Who, repository, id string) error
}

// Authenticator tells who sends a request.
type Authenticator interface {
	// Authenticate returns the caller, who may be nobody in particular. Credentials
	// that are wrong are errs.Unauthenticated.
	Authenticate(r *http.Request) (registry.Who, error)
	// Challenge is the WWW-Authenticate header of a 401: how to come back with
	// more rights. Repository is empty where the request is about none.
	Challenge(r *http.Request, repository string, actions ...registry.Action) string
}
