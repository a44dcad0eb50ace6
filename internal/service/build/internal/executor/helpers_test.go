package executor

import "github.com/opencontainers/runtime-spec/specs-go"

func specUser(uid uint32) specs.User { return specs.User{UID: uid, GID: uid} }
