// Package event holds the message that tells of something that happened, in
// the shape of the Docker Engine API 1.51.
package event

import "time"

// Event is one thing that happened.
type Event struct {
	// Status, ID and From repeat the rest for old clients (containers and images).
	Status string `json:"status,omitempty"`
	ID     string `json:"id,omitempty"`
	From   string `json:"from,omitempty"`

	Type   string `json:"Type"`   // container, image, network, volume, builder, daemon
	Action string `json:"Action"` // create, start, die, ...; "health_status: healthy"
	Actor  Actor  `json:"Actor"`
	Scope  string `json:"scope"`
	// Time in seconds and in nanoseconds since 1970.
	Time     int64 `json:"time"`
	TimeNano int64 `json:"timeNano"`
}

// Actor is what it happened to.
type Actor struct {
	ID         string            `json:"ID"`
	Attributes map[string]string `json:"Attributes"`
}

// New returns an event of this moment.
func New(kind, action, id string, attributes map[string]string, at time.Time) Event {
	e := Event{
		Type: kind, Action: action, Scope: "local",
		Actor: Actor{ID: id, Attributes: attributes},
		Time:  at.Unix(), TimeNano: at.UnixNano(),
	}
	if kind == "container" || kind == "image" {
		e.Status, e.ID = action, id
		e.From = attributes["image"]
	}
	return e
}
