package compose

import (
	"fmt"
	"slices"
	"strings"

	"lus/internal/base/ids"
	"lus/internal/model/compose"
	"lus/internal/model/container"
)

func (u *upPlan) differs(s *compose.Service, c *container.Container, imageID string) bool {
	return c.Config.Labels[compose.LabelConfigHash] != s.Hash || c.Image != imageID
}

// diverged tells why a container has to be replaced; empty: it need not.
func (u *upPlan) diverged(s *compose.Service, c *container.Container, imageID string) []string {
	hash := c.Config.Labels[compose.LabelConfigHash]
	asked := len(u.req.Services) == 0 || slices.Contains(u.req.Services, s.Name)
	forced := asked && u.req.ForceRecreate || !asked && u.req.RecreateDeps
	var why []string
	switch {
	case u.req.NoRecreate && !forced:
		return nil
	case hash != s.Hash:
		old := u.was(s.Name, hash)
		for _, d := range differences(old, s) {
			if old != nil && d.key != "scale" && !strings.HasPrefix(d.key, "depends_on.") {
				why = append(why, d.String())
			}
		}
		if old == nil {
			why = append(why, "its configuration changed; what it was is not recorded")
		}
	}
	if c.Image != imageID {
		why = append(why, fmt.Sprintf("image %s: %s -> %s", s.Image, shortID(c.Image), shortID(imageID)))
	}
	for _, m := range c.Mounts {
		ref := imageAt(s, m.Destination)
		if m.Type == "image" && ref != "" && m.Name != u.ids[ref] {
			why = append(why, fmt.Sprintf("image %s at %s: %s -> %s", ref, m.Destination, shortID(m.Name), shortID(u.ids[ref])))
		}
	}
	for _, other := range u.elsewhere(s, c) {
		why = append(why, "it shares with service "+other+", which is replaced")
	}
	if len(why) == 0 && (hash != s.Hash || forced) {
		why = []string{map[bool]string{true: "forced", false: "its configuration changed"}[forced]}
	}
	return why
}

// imageAt is the image that a service mounts at a place; empty: none.
func imageAt(s *compose.Service, target string) string {
	for _, m := range s.Create.HostConfig.Mounts {
		if m.Type == "image" && m.Target == target {
			return m.Source
		}
	}
	return ""
}

// shortID is an image's id as people read it.
func shortID(id string) string {
	if id == "" {
		return "one that is still to be made"
	}
	return ids.Short(strings.TrimPrefix(id, "sha256:"))
}

// dependencyRestarts says whether a dependency with `restart: true` is replaced.
func (u *upPlan) dependencyRestarts(s *compose.Service) bool {
	for _, d := range s.DependsOn {
		for _, made := range u.made[d.Service] {
			if d.Restart && (made.old != nil || made.action == updated) {
				return true
			}
		}
	}
	return false
}
