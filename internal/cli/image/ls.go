package image

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/docker/go-units"
	"github.com/spf13/pflag"

	"lus/internal/cli/command"
	"lus/internal/cli/output"
	"lus/internal/client"
)

// Summary is a line of GET /images/json.
type Summary struct {
	ID          string `json:"Id"`
	RepoTags    []string
	RepoDigests []string
	Created     int64
	Size        int64
	SharedSize  int64
	Containers  int64
}

func lsCommand() command.Command {
	return command.Command{
		Name: "ls", Aliases: []string{"list", "images"}, Args: "[NAME[:TAG]]", Short: "List images",
		Example: "image ls", Min: 0, Max: 1,
		Flags: func(e *command.Env, f *pflag.FlagSet) command.Do {
			all := f.BoolP("all", "a", false, "Also those without a name that others stand on")
			digests := f.Bool("digests", false, "Show digests")
			filters := output.FilterFlag(f, "f", "Only those that fit, as dangling=true")
			format := f.String("format", "", "Print by a Go template, table, json or raw")
			noTrunc := f.Bool("no-trunc", false, "Print whole ids")
			quiet := f.BoolP("quiet", "q", false, "Only print ids")
			command.RefuseSwitch(f, "tree", "an image is here for one platform, so there is no tree of several: use image ls")
			return func(ctx context.Context, args []string) error {
				if len(args) > 0 {
					*filters = append(*filters, "reference="+args[0])
				}
				q, err := output.Filters(*filters)
				if err != nil {
					return err
				}
				if *all {
					q.Set("all", "1")
				}
				var list []Summary
				if err := e.Client.Call(ctx, client.Request{Method: "GET", Path: "/images/json", Query: q}, &list); err != nil {
					return err
				}
				if *format == "" && !*quiet {
					*format = e.Config().ImagesFormat
				}
				return printImages(e, list, imageTable{digests: *digests, quiet: *quiet, trunc: !*noTrunc, format: *format})
			}
		},
	}
}

// imageTable says how images are printed.
type imageTable struct {
	format                string
	digests, quiet, trunc bool
}

func printImages(e *command.Env, list []Summary, t imageTable) error {
	t.digests = t.digests || strings.Contains(t.format, ".Digest")
	var rows []Row
	for _, s := range list {
		rows = append(rows, rowsOf(s, t)...)
	}
	columns := "{{.Repository}}\t{{.Tag}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}"
	if t.digests {
		columns = "{{.Repository}}\t{{.Tag}}\t{{.Digest}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}"
	}
	if t.format == output.Raw {
		t.format = t.raw()
	}
	if t.quiet && (t.format == "" || t.format == "table") {
		t.format = "{{.ID}}"
	}
	return output.List(e.Out, t.format, columns, Headers(), rows)
}

// raw is the template of the format of that name.
func (t imageTable) raw() string {
	if t.quiet {
		return output.Lines{"image_id:ID"}.Template("ID")
	}
	return RawLines(t.digests).Template("")
}

// RawLines are an image's lines in the format raw.
func RawLines(digests bool) output.Lines {
	lines := output.Lines{"repository:Repository", "tag:Tag"}
	if digests {
		lines = append(lines, "digest:Digest")
	}
	return append(lines, "image_id:ID", "created_at:CreatedAt", "virtual_size:Size")
}

// Headers are the headings of a list of images.
func Headers() output.Headers {
	return output.Headers{
		"Repository": "REPOSITORY", "Tag": "TAG", "Digest": "DIGEST", "ID": "IMAGE ID", "CreatedSince": "CREATED",
		"CreatedAt": "CREATED AT", "Size": "SIZE", "SharedSize": "SHARED SIZE", "UniqueSize": "UNIQUE SIZE", "Containers": "CONTAINERS",
	}
}

// Rows are an image's lines, one for each of its names.
func Rows(s Summary) []Row { return rowsOf(s, imageTable{trunc: true}) }

// FullRows are Rows with whole ids, and no digest where none is known.
func FullRows(s Summary) []Row {
	rows := rowsOf(s, imageTable{})
	for i := range rows {
		rows[i].digest = ""
	}
	return rows
}

// rowsOf gives a row for each name of an image.
func rowsOf(s Summary, t imageTable) []Row {
	digest := map[string]string{}
	for _, d := range s.RepoDigests {
		if repo, sum, ok := strings.Cut(d, "@"); ok {
			digest[repo] = sum
		}
	}
	line := func(repo, tag string) Row {
		sum := digest[repo]
		if sum == "" || !t.digests {
			sum = "<none>"
		}
		return Row{s: s, repo: repo, tag: tag, digest: sum, trunc: t.trunc}
	}
	var out []Row
	for _, ref := range s.RepoTags {
		if i := strings.LastIndexByte(ref, ':'); i > 0 && ref != "<none>:<none>" {
			out = append(out, line(ref[:i], ref[i+1:]))
		}
	}
	if len(out) > 0 {
		return out
	}
	for repo := range digest {
		out = append(out, line(repo, "<none>"))
	}
	if len(out) == 0 {
		out = append(out, line("<none>", "<none>"))
	}
	return out
}

// Row is a line for those who print more than a list.
type Row = row

// row is an image under one of its names; its methods are the fields of
// templates.
type row struct {
	s                 Summary
	repo, tag, digest string
	trunc             bool
}

func (r row) Repository() string { return r.repo }
func (r row) Tag() string        { return r.tag }
func (r row) Digest() string     { return r.digest }
func (r row) ID() string         { return shortID(r.s.ID, r.trunc) }
func (r row) CreatedSince() string {
	if r.s.Created <= 0 {
		return "N/A"
	}
	return units.HumanDuration(time.Since(time.Unix(r.s.Created, 0))) + " ago"
}
func (r row) CreatedAt() string   { return time.Unix(r.s.Created, 0).String() }
func (r row) Size() string        { return units.HumanSizeWithPrecision(float64(r.s.Size), 3) }
func (r row) VirtualSize() string { return units.HumanSize(float64(r.s.Size)) }

// SharedSize is what other images have too.
func (r row) SharedSize() string {
	if r.s.SharedSize < 0 {
		return "N/A"
	}
	return units.HumanSize(float64(r.s.SharedSize))
}

// UniqueSize is what no other image has.
func (r row) UniqueSize() string {
	if r.s.SharedSize < 0 {
		return "N/A"
	}
	return units.HumanSize(float64(r.s.Size - r.s.SharedSize))
}

// Containers is how many were made from the image.
func (r row) Containers() string {
	if r.s.Containers < 0 {
		return "N/A"
	}
	return strconv.FormatInt(r.s.Containers, 10)
}

func shortID(id string, trunc bool) string {
	if !trunc {
		return id
	}
	id = strings.TrimPrefix(id, "sha256:")
	return id[:min(12, len(id))]
}
