// Package account holds the words about who may do what: users, tokens, rules,
// and the identity that a request is made with. They are the same for every part
// of Lus that people reach over the network.
package account

import (
	"fmt"
	"math"
	"time"
)

// User is somebody who can sign in.
type User struct {
	Name     string    `json:"name"`
	Admin    bool      `json:"admin"`    // may do everything everywhere
	Disabled bool      `json:"disabled"` // cannot sign in, nor can any token
	Password bool      `json:"password"` // has one; else only tokens sign in
	Created  time.Time `json:"created"`
	Tokens   int       `json:"tokens"` // how many there are
}

// Token stands for a user, with no more rights than its scopes.
type Token struct {
	ID      string    `json:"id"`
	User    string    `json:"user"`
	Name    string    `json:"name"` // what it is for, in its maker's words
	Scopes  []Scope   `json:"scopes"`
	Created time.Time `json:"created"`
	Expires time.Time `json:"expires,omitzero"`
	Used    time.Time `json:"used,omitzero"` // the last time, to within a minute
	// Login says that a client got it for a password, as `docker login` does.
	Login bool `json:"login,omitempty"`
}

// NewToken is a token just made, and the only time its secret is told.
type NewToken struct {
	Token
	Secret string `json:"secret"`
}

// Rule lets somebody do something. Nothing is allowed without one, but that
// admins may do everything and users everything below their own name.
type Rule struct {
	Who      string  `json:"who"` // a user's name, or one of the words below
	Resource Pattern `json:"resource"`
	Actions  Actions `json:"actions"`
}

// The words of rules that stand for more than one user; no user has such a name.
const (
	Users     = "users"     // everybody who signed in
	Anonymous = "anonymous" // everybody, signed in or not
	Loopback  = "loopback"  // everybody on this host, signed in or not
)

// Scope is what a token is for.
type Scope struct {
	Resource Pattern `json:"resource"`
	Actions  Actions `json:"actions"`
}

// Allows says whether the scope contains the action.
func (s Scope) Allows(a Actions, r Resource) bool {
	return s.Actions.Has(a) && s.Resource.Matches(r)
}

// String is the scope as people write it: registry:me/*:read,write.
func (s Scope) String() string { return string(s.Resource) + ":" + s.Actions.String() }

// Identity is who makes a request, as proven. The zero value is anonymous.
type Identity struct {
	ID         int64  // the user's for ever; names can be given anew. 0: anonymous
	Name       string // the user's name, for people to read
	Generation int64  // rises with whatever ends what was proven before
	Token      string // the id of the token it was proven with; empty: the password
	Local      bool   // the request comes from this host, by its loopback address
}

// Anonymous says that nobody signed in.
func (i Identity) Anonymous() bool { return i.ID == 0 }

// Changes are what is to be different about a user; nil stays as it is.
type Changes struct {
	Name     *string `json:"name,omitempty"`
	Password *string `json:"password,omitempty"`
	Admin    *bool   `json:"admin,omitempty"`
	Disabled *bool   `json:"disabled,omitempty"`
	// TakeOver allows a new name that was another's, or this user's, before.
	TakeOver bool `json:"takeOver,omitempty"`
}

// NewUser is a user to be made.
type NewUser struct {
	Name     string `json:"name"`
	Password string `json:"password,omitempty"` // empty: tokens only
	Admin    bool   `json:"admin,omitempty"`
	// TakeOver allows a name that was another user's before: what lies below
	// that name is then the new user's.
	TakeOver bool `json:"takeOver,omitempty"`
}

// TokenRequest is a token to be made. Without scopes it may read what its user
// may; without a lifetime it does not end by itself.
type TokenRequest struct {
	Name     string        `json:"name"`
	Scopes   []Scope       `json:"scopes,omitempty"`
	Lifetime time.Duration `json:"lifetime,omitempty"` // nanoseconds
}

// Decision is the answer to whether somebody may do something, and why.
type Decision struct {
	Allowed bool   `json:"allowed"`
	Reason  string `json:"reason"`
}

// Wait is the error of who has to wait before they may try again.
type Wait struct{ For time.Duration }

// Seconds is the wait in whole seconds, rounded up.
func (w Wait) Seconds() int { return int(math.Ceil(w.For.Seconds())) }

// Error says how long.
func (w Wait) Error() string {
	return fmt.Sprintf("too many wrong passwords: try again in %d s", w.Seconds())
}

// Grant is what a bearer token is good for at one resource.
type Grant struct {
	Resource Resource
	Actions  Actions
}
