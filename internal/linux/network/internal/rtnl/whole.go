package rtnl

// rounds bounds how often a list is asked for that changes each time.
const rounds = 5

// whole lists everything that is there all the time. The kernel tells a long list
// in parts, and older ones (6.1) find their place again by counting: where
// something has gone meanwhile they pass over what did not change. They say so,
// and are asked again. Where there is no end of changes, what any of the lists
// had counts; look is asked for what the last one lacks, and where it is nil, that
// counts too.
func whole[T any, K comparable](key func(T) K, dump func(add func(T)) (torn bool, err error), look func(T) (now T, there bool, err error)) ([]T, error) {
	var all []T
	last := 0 // as many of them the last list had
	for range rounds {
		var list []T
		torn, err := dump(func(t T) { list = append(list, t) })
		if err != nil {
			return nil, err
		}
		if !torn {
			return list, nil
		}
		seen := make(map[K]bool, len(list))
		for _, t := range list {
			seen[key(t)] = true
		}
		last = len(list)
		for _, t := range all {
			if !seen[key(t)] {
				list = append(list, t)
			}
		}
		all = list
	}
	if look == nil {
		return all, nil
	}
	kept := all[:last]
	for _, t := range all[last:] {
		now, there, err := look(t)
		if err != nil {
			return nil, err
		}
		if there {
			kept = append(kept, now)
		}
	}
	return kept, nil
}

// same is the key of what is its own.
func same[T comparable](t T) T { return t }
