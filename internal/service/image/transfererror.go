package image

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/remotes/docker"
	remoteerrors "github.com/containerd/containerd/v2/core/remotes/errors"
	"github.com/containerd/errdefs"
	"github.com/distribution/reference"

	"lus/internal/base/errs"
	"lus/internal/base/stall"
	"lus/internal/model/image"
)

// hint says what to do where no registry can be reached.
const hint = "check the network and the registry's name; where no registry is in reach, scripts/base-images makes stand-ins for debian:bookworm-slim and busybox"

// pullError words an error of a pull for people, as Docker does where clients
// read it.
func pullError(named reference.Named, auth *image.Auth, err error) error {
	ref, repo, host := reference.FamiliarString(named), reference.FamiliarName(named), reference.Domain(named)
	if known := commonError("pull of "+ref, host, err); err == nil || known != nil {
		return known
	}
	var status remoteerrors.ErrUnexpectedStatus
	missing := errdefs.IsNotFound(err)
	if errors.As(err, &status) {
		switch status.StatusCode {
		case http.StatusUnauthorized, http.StatusForbidden:
			return denied(repo, host, auth, err)
		case http.StatusTooManyRequests:
			return told(errs.Unavailable, err, "toomanyrequests: the registry %s allows no more pulls now%s: log in, or try again later", host, said(status, err))
		case http.StatusNotFound:
			missing = true
		default:
			return told(errs.Unavailable, err, "the registry %s failed to serve %s: %s%s: try again later", host, ref, status.Status, said(status, err))
		}
	}
	switch {
	case errors.Is(err, docker.ErrInvalidAuthorization):
		return denied(repo, host, auth, err)
	case missing:
		return told(errs.NotFound, err, "manifest for %s not found: manifest unknown: the registry %s has no such repository or tag", ref, host)
	}
	return errs.New(errs.Unavailable, "pull of %s failed: %w", ref, err)
}

func denied(repo, host string, auth *image.Auth, err error) error {
	if creds, bearer := credentials(host, auth); creds != nil || bearer != "" {
		return told(errs.Unauthenticated, err, "unauthorized: the registry %s refused these credentials for %s: check the name, that this user may pull it, and the password (`lus login %s`)", host, repo, host)
	}
	// Docker answers 404 here, because a registry does not tell one from the other.
	return told(errs.NotFound, err, "pull access denied for %s, repository does not exist or may require 'docker login': denied: check the name, or log in with `lus login %s`", repo, host)
}

// pushError words an error of a push for people.
func pushError(named reference.Named, auth *image.Auth, err error) error {
	repo, host := reference.FamiliarName(named), reference.Domain(named)
	if known := commonError("push of "+repo, host, err); err == nil || known != nil {
		return known
	}
	var status remoteerrors.ErrUnexpectedStatus
	refused := errors.Is(err, docker.ErrInvalidAuthorization)
	if errors.As(err, &status) {
		refused = refused || status.StatusCode == http.StatusUnauthorized || status.StatusCode == http.StatusForbidden
	}
	switch {
	case status.StatusCode == http.StatusForbidden && ownReason(spoken(status)):
		return deniedBecause(repo, host, spoken(status), err)
	case refused && auth == nil:
		return loginFirst(repo, host, err)
	case refused:
		return notAllowed(repo, host, said(status, err), err)
	case status.StatusCode == http.StatusNotFound:
		return told(errs.NotFound, err, "the registry %s has no place for %s%s", host, repo, said(status, err))
	case status.StatusCode == http.StatusRequestEntityTooLarge:
		return told(errs.Unavailable, err, "the registry %s takes no layer as large as one of %s: its owner has to allow larger requests", host, repo)
	case status.StatusCode != 0:
		return told(errs.Unavailable, err, "push of %s failed: the registry %s answered %s%s: try again later", repo, host, status.Status, said(status, err))
	}
	return errs.New(errs.Unavailable, "push of %s failed: %w: try again later", repo, err)
}

func loginFirst(repo, host string, err error) error {
	return told(errs.Unauthenticated, err, "unauthorized: authentication required: the registry %s lets nobody push to %s without a login: `lus login %s` first", host, repo, host)
}

// notAllowed has what the registry itself says behind it.
func notAllowed(repo, host, said string, err error) error {
	return told(errs.Denied, err, "denied: requested access to the resource is denied: the registry %s does not let this user push to %s%s", host, repo, said)
}

// ownReason tells the words of a registry that refuses for a reason of its own,
// such as a quota that is used up, from those that say that a right is missing.
func ownReason(words string) bool {
	return words != "" && !strings.Contains(words, "access to the resource is denied")
}

// deniedBecause has what the registry itself says before all else.
func deniedBecause(repo, host, words string, err error) error {
	return told(errs.Denied, err, "denied: %s: the registry %s did not take the push to %s", words, host, repo)
}

// commonError words what goes wrong between here and any registry; nil where
// it is something else. What says "the pull of X" or "the push of X".
func commonError(what, host string, err error) error {
	var mine *errs.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &mine):
		return mine
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return told(errs.Unavailable, err, "the %s was cancelled", what)
	case full(err):
		return noSpace(err)
	case errors.Is(err, stall.Err):
		return told(errs.Unavailable, err, "the %s stalled: the registry %s stopped sending and takes nothing any more: try again later, or use another registry", what, host)
	}
	if untrusted := certificate(host, err); untrusted != nil {
		return untrusted
	}
	if unreachable(err) {
		return told(errs.Unavailable, err, "the registry %s cannot be reached for the %s: %s: %s", host, what, innermost(err), hint)
	}
	return nil
}

// certificate words an error of TLS; nil where it is none.
func certificate(host string, err error) error {
	var bad *tls.CertificateVerificationError
	var other tls.RecordHeaderError
	switch {
	case strings.Contains(err.Error(), "server gave HTTP response to HTTPS client"):
		return told(errs.Unavailable, err, "http: server gave HTTP response to HTTPS client: the registry %s speaks plain HTTP; if that is acceptable, add %s to the insecure registries of the daemon's configuration", host, host)
	case errors.As(err, &other):
		return told(errs.Unavailable, err, "%s: the registry %s does not speak TLS: check its name and port; if it is one of plain HTTP and that is acceptable, add %s to the insecure registries of the daemon's configuration", other.Error(), host, host)
	case errors.As(err, &bad):
		return told(errs.Unavailable, err, "tls: failed to verify certificate of the registry %s: %s: give this host the certificate of the authority that signed it, or add %s to the insecure registries of the daemon's configuration", host, bad.Err, host)
	}
	return nil
}

// told is an error with a message that leaves its cause's text out.
func told(kind errs.Kind, cause error, format string, args ...any) error {
	return &errs.Error{Kind: kind, Msg: fmt.Sprintf(format, args...), Err: cause}
}

// said is what the registry itself says, in its own error format or because it
// asks to wait.
func said(status remoteerrors.ErrUnexpectedStatus, err error) string {
	out := spoken(status)
	if out != "" {
		out = ": " + out
	}
	if _, wait, ok := strings.Cut(err.Error(), "it asks to wait for "); ok {
		out += ": it asks to wait for " + wait
	}
	return out
}

// spoken are the registry's own words in its answer, in quotes: a stranger wrote
// them. Empty where it says none.
func spoken(status remoteerrors.ErrUnexpectedStatus) string {
	var body struct {
		Errors []struct{ Message string }
	}
	if json.Unmarshal(status.Body, &body) != nil || len(body.Errors) == 0 || body.Errors[0].Message == "" {
		return ""
	}
	return fmt.Sprintf("%.300q", body.Errors[0].Message)
}

// innermost is the cause of an error of the network, without the request.
func innermost(err error) error {
	var request *url.Error
	if errors.As(err, &request) {
		return request.Err
	}
	return err
}

// unreachable reports whether err is one of the network.
func unreachable(err error) bool {
	var op *net.OpError
	var dns *net.DNSError
	var timeout net.Error
	return errors.As(err, &op) || errors.As(err, &dns) || (errors.As(err, &timeout) && timeout.Timeout())
}

// full reports whether err is that of a full disk or quota.
func full(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) ||
		(err != nil && strings.Contains(err.Error(), "no space left on device"))
}

const storeFull = "the disk of the image store is full: remove images or containers, or move the store with --root"

// noSpace says so once, however many layers the error comes through.
func noSpace(err error) error {
	if strings.Contains(err.Error(), storeFull) {
		return err
	}
	return errs.New(errs.Unavailable, storeFull+" (%w)", err)
}

// lease holds what is made until release is called. It is the first write of
// what brings an image, and so the first to meet a full disk.
func (s *Service) lease(ctx context.Context) (leased context.Context, release func() error, err error) {
	leased, release, err = s.store.Lease(ctx)
	if full(err) {
		err = noSpace(err)
	}
	return leased, release, err
}

// transient reports whether the same request may succeed a moment later. What
// carries no body was asked again already, on the way.
func transient(err error) bool {
	var status remoteerrors.ErrUnexpectedStatus
	if errors.As(err, &status) {
		return busy(status.StatusCode) && status.RequestMethod != http.MethodGet && status.RequestMethod != http.MethodHead
	}
	// A reset is a token that ran out while a body was sent: it is sent anew.
	return errors.Is(err, stall.Err) || errors.Is(err, content.ErrReset) ||
		!errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) && (unreachable(err) || brokenOff(err))
}
