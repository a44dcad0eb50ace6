package image

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strings"
	"syscall"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	remoteerrors "github.com/containerd/containerd/v2/core/remotes/errors"
	"github.com/containerd/errdefs"
	"github.com/distribution/reference"

	"lus/internal/base/errs"
	"lus/internal/model/image"
)

// hint says what to do where no registry can be reached.
const hint = "check the network and the registry's name; where no registry is in reach, scripts/base-images makes stand-ins for debian:bookworm-slim and busybox"

// pullError words an error of a pull for people, as Docker does where clients
// read it.
func pullError(named reference.Named, auth *image.Auth, err error) error {
	var mine *errs.Error
	if err == nil || errors.As(err, &mine) {
		return err
	}
	ref, repo, host := reference.FamiliarString(named), reference.FamiliarName(named), reference.Domain(named)
	var status remoteerrors.ErrUnexpectedStatus
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return errs.New(errs.Unavailable, "the pull of %s was cancelled: %w", ref, err)
	case full(err):
		return noSpace(err)
	case errors.Is(err, docker.ErrInvalidAuthorization):
		return denied(repo, host, auth, err)
	case errors.As(err, &status):
		return statusError(status, ref, repo, host, auth, err)
	case errdefs.IsNotFound(err):
		return errs.New(errs.NotFound, "manifest for %s not found: manifest unknown: the registry %s has no such repository or tag (%w)", ref, host, err)
	case unreachable(err):
		return errs.New(errs.Unavailable, "the registry %s cannot be reached to pull %s: %w: %s", host, ref, err, hint)
	}
	return errs.New(errs.Unavailable, "pull of %s failed: %w", ref, err)
}

func statusError(status remoteerrors.ErrUnexpectedStatus, ref, repo, host string, auth *image.Auth, err error) error {
	switch status.StatusCode {
	case http.StatusUnauthorized, http.StatusForbidden:
		return denied(repo, host, auth, err)
	case http.StatusNotFound:
		return errs.New(errs.NotFound, "manifest for %s not found: manifest unknown: the registry %s has no such repository or tag (%w)", ref, host, err)
	case http.StatusTooManyRequests:
		return errs.New(errs.Unavailable, "toomanyrequests: the registry %s allows no more pulls now: log in, or try again later (%w)", host, err)
	}
	return errs.New(errs.Unavailable, "the registry %s failed to serve %s: %w: try again later", host, ref, err)
}

func denied(repo, host string, auth *image.Auth, err error) error {
	if creds, bearer := credentials(host, auth); creds != nil || bearer != "" {
		return errs.New(errs.Unauthenticated, "unauthorized: the registry %s refused these credentials for %s: check the user name and password, or log in again (%w)", host, repo, err)
	}
	// Docker answers 404 here, because a registry does not tell one from the other.
	return errs.New(errs.NotFound, "pull access denied for %s, repository does not exist or may require 'docker login': denied (%w)", repo, err)
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

func noSpace(err error) error {
	return errs.New(errs.Unavailable, "the disk of the image store is full: remove images or containers, or move the store with --root (%w)", err)
}

// transient reports whether the same request may succeed a moment later.
func transient(err error) bool {
	var status remoteerrors.ErrUnexpectedStatus
	if errors.As(err, &status) {
		return status.StatusCode == http.StatusTooManyRequests || status.StatusCode == http.StatusRequestTimeout || status.StatusCode >= 500
	}
	return !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) && (unreachable(err) || brokenOff(err))
}
