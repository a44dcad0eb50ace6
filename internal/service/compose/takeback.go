package compose

import (
	"context"
	"errors"
	"slices"

	"lus/internal/base/errs"
	"lus/internal/model/compose"
	"lus/internal/model/container"
)

// discard removes the new container of a swap.
func (u *updating) discard(ctx context.Context, s *swap) error {
	s.gone = true
	u.remember(&step{service: u.st.service, number: s.number}, s.old.ID)
	return u.removeOne(context.WithoutCancel(ctx), s.newID)
}

// back takes the whole update back: the old containers run again, as they were.
// The service's rollback_config says in which order.
func (u *updating) back(ctx context.Context) error {
	how := policyOf(u.st.service.Rollback)
	u.tell(compose.Event{Warning: "service " + u.st.service.Name + ": the update failed and is taken back"})
	all := slices.Clone(u.begun)
	slices.Reverse(all)
	var failed []error
	for i, s := range all {
		if i > 0 {
			if err := pause(ctx, how.Delay); err != nil {
				return err
			}
		}
		if err := u.restore(ctx, s, how); err != nil {
			failed = append(failed, about("container", s.name, err))
			if how.FailureAction != compose.OnFailureContinue {
				break
			}
			continue
		}
		u.tell(compose.Event{Kind: "Container", Name: s.name, Status: "Restored", Done: true})
	}
	return errors.Join(failed...)
}

// restore brings one old container back in place of the new one.
func (u *updating) restore(ctx context.Context, s *swap, how compose.Update) error {
	begin := func() error {
		if !s.old.State.Running() {
			return nil
		}
		err := u.Engine.StartContainer(ctx, s.old.ID)
		if errs.Is(err, errs.NotModified) {
			return nil // it never stopped
		}
		if err != nil {
			return err
		}
		if err := u.runner.hooks(ctx, s.old.ID, "post_start", u.hooksOf(ctx, s.old)); err != nil {
			return err
		}
		return u.runner.holds(ctx, s.old.ID, how.Monitor)
	}
	if how.StartFirst {
		if err := begin(); err != nil {
			return err
		}
	}
	if s.newID != "" && !s.gone {
		if how.StartFirst {
			if err := ignore(u.Engine.DrainContainer(ctx, s.newID, u.patience(s.old)), errs.NotFound); err != nil {
				return err
			}
		}
		if err := u.discard(ctx, s); err != nil {
			return err
		}
	}
	if s.parked {
		if err := u.named(ctx, s.old.ID, s.name); err != nil {
			return err
		}
	}
	if how.StartFirst {
		return nil
	}
	return begin()
}

// hooksOf are what ran after the start of a container that was made from a
// configuration of before; none where nobody knows it any more.
func (u *updating) hooksOf(ctx context.Context, c *container.Container) []compose.Hook {
	was := u.history.Former(ctx, u.project.Name)(u.st.service.Name, c.Config.Labels[compose.LabelConfigHash])
	if was == nil {
		return nil
	}
	return was.PostStart
}

// forget removes the old containers that were kept for the case of failure.
func (u *updating) forget(ctx context.Context) {
	for _, s := range u.begun {
		if !s.parked {
			continue
		}
		if err := u.removeOne(ctx, s.old.ID); err != nil {
			u.tell(compose.Event{Warning: about("container", s.old.Name, err).Error()})
		}
	}
}
