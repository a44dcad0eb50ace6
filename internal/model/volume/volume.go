// Package volume holds the words for named volumes that every part of Lus
// shares. The JSON names are those of the Docker Engine API 1.51.
package volume

import "time"

// Volume is one named volume.
type Volume struct {
	Name       string            `json:"Name"`
	Driver     string            `json:"Driver"`
	Mountpoint string            `json:"Mountpoint"`
	CreatedAt  time.Time         `json:"CreatedAt"`
	Labels     map[string]string `json:"Labels"`
	Scope      string            `json:"Scope"`
	Options    map[string]string `json:"Options"`
	Anonymous  bool              `json:"-"`                   // made by an image's VOLUME or -v /path
	UsageData  *Usage            `json:"UsageData,omitempty"` // only where asked for
}

// Usage is what a volume takes, and how many containers have it.
type Usage struct {
	Size     int64 `json:"Size"` // bytes
	RefCount int64 `json:"RefCount"`
}

// CreateRequest is the body of POST /volumes/create.
type CreateRequest struct {
	Name       string            `json:"Name"`
	Driver     string            `json:"Driver"`
	DriverOpts map[string]string `json:"DriverOpts"`
	Labels     map[string]string `json:"Labels"`
}
