// Package scenarios holds what a student of the course does, as tests against
// the real stack: real containers, networks, builds and databases. A test's
// name begins with the number of its scenario.
//
// They need root, the programs of bin/ (make build) and Debian's packages for
// the images that stand in for official ones.
package scenarios
