package account

import (
	"errors"
	"strconv"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"lus/internal/base/errs"
	"lus/internal/model/account"
)

// bearerLife is how long a bearer token is good. Clients take less than a minute
// for no lifetime at all.
const bearerLife = 5 * time.Minute

// The bounds of a bearer token.
const (
	maxBearer = 16 << 10
	maxGrants = 64
)

// issuer is who signs, and method the one way of signing there is.
const issuer = "lus"

// claims are what a bearer token says.
type claims struct {
	jwt.RegisteredClaims
	Name       string   `json:"name,omitempty"`
	Generation int64    `json:"gen,omitempty"`
	Token      string   `json:"tid,omitempty"`
	Access     []access `json:"access"`
}

// access is one entry of a token's rights, as registries' tokens have it. What
// is in a token is exactly what was granted.
type access struct {
	Kind    string          `json:"kind"`
	Name    string          `json:"name"`
	Actions account.Actions `json:"actions"`
}

// Bearer returns a signed token by which the identity may do what grants say and
// nothing else, and how long it is good. The audience is the service that takes
// it, and no other does.
func (s *Service) Bearer(id account.Identity, audience string, grants []account.Grant) (token string, life time.Duration, err error) {
	if len(grants) > maxGrants {
		return "", 0, errs.New(errs.Invalid, "a token has room for %d repositories: ask for fewer at once", maxGrants)
	}
	now := s.now()
	c := claims{
		RegisteredClaims: jwt.RegisteredClaims{
			Issuer: issuer, Audience: jwt.ClaimStrings{audience}, Subject: strconv.FormatInt(id.ID, 10),
			IssuedAt: jwt.NewNumericDate(now), NotBefore: jwt.NewNumericDate(now.Add(-time.Minute)), ExpiresAt: jwt.NewNumericDate(now.Add(bearerLife)),
			ID: random(idLen),
		},
		Name: id.Name, Generation: id.Generation, Token: id.Token, Access: []access{},
	}
	for _, g := range grants {
		c.Access = append(c.Access, access{g.Resource.Kind, g.Resource.Name, g.Actions})
	}
	signed, err := jwt.NewWithClaims(jwt.SigningMethodHS256, c).SignedString(s.key)
	return signed, bearerLife, err
}

// Verify checks a bearer token for an audience and returns whom it is of and
// what it grants. It is refused where it is forged, over, meant for another
// audience, or where its user or the token it came from is no more.
func (s *Service) Verify(token, audience string) (account.Identity, []account.Grant, error) {
	invalid := func(why string) error { return errs.New(errs.Unauthenticated, "invalid token: %s", why) }
	if len(token) > maxBearer {
		return account.Identity{}, nil, invalid("it is too long")
	}
	var c claims
	parser := jwt.NewParser(jwt.WithValidMethods([]string{jwt.SigningMethodHS256.Alg()}), jwt.WithIssuer(issuer), jwt.WithAudience(audience),
		jwt.WithExpirationRequired(), jwt.WithTimeFunc(s.now), jwt.WithStrictDecoding())
	_, err := parser.ParseWithClaims(token, &c, func(*jwt.Token) (any, error) { return s.key, nil })
	if errors.Is(err, jwt.ErrTokenExpired) {
		return account.Identity{}, nil, invalid("it is over")
	}
	if err != nil {
		return account.Identity{}, nil, invalid("it is none of ours")
	}
	n, err := strconv.ParseInt(c.Subject, 10, 64)
	if err != nil || n < 0 {
		return account.Identity{}, nil, invalid("it names nobody")
	}
	id := account.Identity{ID: n, Name: c.Name, Generation: c.Generation, Token: c.Token}
	if !s.Current(id) {
		return account.Identity{}, nil, invalid("what it was given for holds no more")
	}
	s.used.note(id.Token, s.now())
	var grants []account.Grant
	for _, a := range c.Access {
		grants = append(grants, account.Grant{Resource: account.Resource{Kind: a.Kind, Name: a.Name}, Actions: a.Actions})
	}
	return id, grants, nil
}
