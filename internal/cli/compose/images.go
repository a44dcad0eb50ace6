package compose

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/docker/go-units"
	"github.com/spf13/pflag"

	"lus/internal/base/errs"
	"lus/internal/base/ids"
)

// imageRow is the image of one container, as docker compose's JSON has it.
type imageRow struct {
	ID            string     `json:"ID"`
	ContainerName string     `json:"ContainerName"`
	Repository    string     `json:"Repository"`
	Tag           string     `json:"Tag"`
	Platform      string     `json:"Platform"`
	Size          int64      `json:"Size"`
	Created       *time.Time `json:"Created,omitempty"`
	LastTagTime   time.Time  `json:"LastTagTime,omitzero"`
}

func imagesCommand() command {
	return command{
		name: "images", dry: true, args: "[SERVICE...]", short: "List the images of the project's containers", example: "lus compose images",
		flags: func(a *app, f *pflag.FlagSet) func(context.Context, []string) error {
			quiet := f.BoolP("quiet", "q", false, "ids only")
			format := f.String("format", "table", "table or json")
			return func(ctx context.Context, args []string) error {
				if err := tableOrJSON("images", *format); err != nil {
					return err
				}
				name, _, err := a.known(ctx, args, false)
				if err != nil {
					return err
				}
				list, err := a.containers(ctx, name, true)
				if err != nil {
					return err
				}
				rows, err := a.imageRows(ctx, named(list, args))
				if err != nil {
					return err
				}
				switch {
				case *quiet:
					var lines []string
					for _, r := range rows {
						if id := strings.TrimPrefix(r.ID, "sha256:"); !slices.Contains(lines, id) {
							lines = append(lines, id)
						}
					}
					return a.lines(lines)
				case *format == "json":
					return printJSON(a.Out, rows)
				}
				var cells [][]string
				for _, r := range rows {
					cells = append(cells, r.cells())
				}
				return table(a.Out, "CONTAINER\tREPOSITORY\tTAG\tPLATFORM\tIMAGE ID\tSIZE\tCREATED", cells)
			}
		},
	}
}

func (r imageRow) cells() []string {
	created := "N/A"
	if r.Created != nil {
		created = units.HumanDuration(time.Since(*r.Created)) + " ago"
	}
	none := func(s string) string {
		if s == "" {
			return "<none>"
		}
		return s
	}
	return []string{r.ContainerName, none(r.Repository), none(r.Tag), r.Platform, ids.Short(strings.TrimPrefix(r.ID, "sha256:")),
		units.HumanSizeWithPrecision(float64(r.Size), 3), created}
}

// inspectedImage is what GET /images/NAME/json tells that is wanted here.
type inspectedImage struct {
	ID           string `json:"Id"`
	Architecture string
	Variant      string
	Os           string
	Size         int64
	Created      string
	RepoDigests  []string
	Metadata     struct{ LastTagTime time.Time }
}

func (a *app) inspectImage(ctx context.Context, ref string) (inspectedImage, error) {
	return get[inspectedImage](ctx, a.daemon, "/images/"+(&url.URL{Path: ref}).EscapedPath()+"/json")
}

func (a *app) imageRows(ctx context.Context, list []summary) ([]imageRow, error) {
	rows := []imageRow{}
	seen := map[string]inspectedImage{}
	for _, c := range list {
		img, known := seen[c.ImageID]
		if !known {
			var err error
			if img, err = a.inspectImage(ctx, c.ImageID); err != nil && !errs.Is(err, errs.NotFound) {
				return nil, err
			}
			seen[c.ImageID] = img
		}
		r := imageRow{ID: c.ImageID, ContainerName: c.name(), Size: img.Size, LastTagTime: img.Metadata.LastTagTime}
		r.Repository, r.Tag = repository(c.Image)
		if img.Os != "" {
			r.Platform = strings.TrimSuffix(fmt.Sprintf("%s/%s/%s", img.Os, img.Architecture, img.Variant), "/")
		}
		if t, err := time.Parse(time.RFC3339Nano, img.Created); err == nil {
			r.Created = &t
		}
		rows = append(rows, r)
	}
	return rows, nil
}

// repository splits an image's name into its repository and its tag: latest
// where none is written, nothing where it is a digest or an id.
func repository(ref string) (repo, tag string) {
	if strings.HasPrefix(ref, "sha256:") {
		return "", ""
	}
	ref, _, digest := strings.Cut(ref, "@")
	if i := strings.LastIndexByte(ref, ':'); i >= 0 && !strings.Contains(ref[i:], "/") {
		return ref[:i], ref[i+1:]
	}
	if digest {
		return ref, ""
	}
	return ref, "latest"
}
