package composefile

import (
	"slices"
	"time"

	"github.com/compose-spec/compose-go/v2/types"

	"lus/internal/base/errs"
	"lus/internal/model/compose"
)

// update is how a service is replaced, by deploy.update_config or
// rollback_config; nil where the file does not say.
func update(c *types.UpdateConfig, key string) (*compose.Update, error) {
	if c == nil {
		return nil, nil
	}
	u := &compose.Update{
		Parallelism: 1, Delay: time.Duration(c.Delay), Monitor: time.Duration(c.Monitor),
		MaxFailureRatio: float64(c.MaxFailureRatio), FailureAction: c.FailureAction, StartFirst: c.Order == "start-first",
	}
	if c.Parallelism != nil {
		u.Parallelism = int(min(*c.Parallelism, 1<<20))
	}
	actions := []string{"", compose.OnFailurePause, compose.OnFailureContinue, compose.OnFailureRollback}
	if key == "rollback_config" {
		actions = actions[:3]
	}
	switch {
	case !slices.Contains([]string{"", "start-first", "stop-first"}, c.Order):
		return nil, errs.New(errs.Invalid, "deploy: %s: order: %q: write start-first or stop-first", key, c.Order)
	case !slices.Contains(actions, c.FailureAction):
		return nil, errs.New(errs.Invalid, "deploy: %s: failure_action: %q: write one of %q", key, c.FailureAction, actions[1:])
	case u.MaxFailureRatio < 0 || u.MaxFailureRatio > 1:
		return nil, errs.New(errs.Invalid, "deploy: %s: max_failure_ratio: %v: write a share from 0 to 1", key, c.MaxFailureRatio)
	case u.Delay < 0 || u.Monitor < 0:
		return nil, errs.New(errs.Invalid, "deploy: %s: delay and monitor are no times before now", key)
	}
	return u, nil
}
