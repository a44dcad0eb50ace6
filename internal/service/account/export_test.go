package account

// Hashes is how many hashes of passwords were made so far.
func (s *Service) Hashes() int64 { return s.hasher.Made() }
