package system

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/docker/go-units"
	"github.com/spf13/pflag"

	"lus/internal/cli/command"
	"lus/internal/cli/container"
	"lus/internal/cli/image"
	"lus/internal/cli/output"
	"lus/internal/cli/volume"
	"lus/internal/client"
	"lus/internal/model/build"
	model "lus/internal/model/volume"
)

// usage is what df reads of GET /system/df.
type usage struct {
	LayersSize int64
	Registry   struct {
		Repositories int
		Size         int64 // part of LayersSize
	}
	Images     []image.Summary
	Containers []container.Summary
	Volumes    []model.Volume
	BuildCache []build.Record
}

func dfCommand() command.Command {
	return command.Command{
		Name: "df", Short: "Show what takes how much of the disk",
		Example: "system df -v", Min: 0, Max: 0,
		Flags: func(e *command.Env, f *pflag.FlagSet) command.Do {
			format := f.String("format", "", "Print by a Go template, table, json or raw")
			verbose := f.BoolP("verbose", "v", false, "Show each image, container, volume and piece of build cache")
			return func(ctx context.Context, _ []string) error {
				var u usage
				if err := e.Client.Call(ctx, client.Request{Method: "GET", Path: "/system/df"}, &u); err != nil {
					return err
				}
				if *verbose {
					return printEach(e, *format, &u)
				}
				if *format == output.Raw {
					*format = output.Lines{"type:Type", "total:TotalCount", "active:Active", "size:Size", "reclaimable:Reclaimable"}.Template("")
				}
				return output.List(e.Out, *format, "{{.Type}}\t{{.TotalCount}}\t{{.Active}}\t{{.Size}}\t{{.Reclaimable}}", output.Headers{
					"Type": "TYPE", "TotalCount": "TOTAL", "Active": "ACTIVE", "Size": "SIZE", "Reclaimable": "RECLAIMABLE",
				}, u.totals())
			}
		},
	}
}

// total is one kind's line; its methods are the fields of templates.
type total struct {
	kind          string
	count, active int
	size, free    int64
	share         bool // how much of all can be had back is told in percent
}

func (t total) Type() string       { return t.kind }
func (t total) TotalCount() string { return strconv.Itoa(t.count) }
func (t total) Active() string     { return strconv.Itoa(t.active) }
func (t total) Size() string       { return units.HumanSize(float64(t.size)) }

func (t total) Reclaimable() string {
	text := units.HumanSize(float64(t.free))
	if t.share && t.size > 0 {
		text += fmt.Sprintf(" (%d%%)", t.free*100/t.size)
	}
	return text
}

// totals adds up each kind.
func (u *usage) totals() []total {
	own := u.LayersSize - u.Registry.Size
	images := total{kind: "Images", count: len(u.Images), size: own, free: own, share: true}
	for _, i := range u.Images {
		if i.Containers > 0 {
			images.active++
			images.free -= i.Size - i.SharedSize
		}
	}
	containers := total{kind: "Containers", count: len(u.Containers), share: true}
	for _, c := range u.Containers {
		containers.size += c.SizeRw
		if c.State == "running" || c.State == "paused" || c.State == "restarting" {
			containers.active++
		} else {
			containers.free += c.SizeRw
		}
	}
	volumes := total{kind: "Local Volumes", count: len(u.Volumes), share: true}
	for _, v := range u.Volumes {
		if v.UsageData == nil {
			continue
		}
		volumes.size += v.UsageData.Size
		if v.UsageData.RefCount > 0 {
			volumes.active++
		} else {
			volumes.free += v.UsageData.Size
		}
	}
	all := []total{images, containers, volumes, u.cache()}
	if n := u.Registry.Repositories; n > 0 {
		all = append(all, total{kind: "Registry", count: n, active: n, size: u.Registry.Size})
	}
	return all
}

// cache adds up the build cache. What images have too is counted there.
func (u *usage) cache() total {
	t := total{kind: "Build Cache", count: len(u.BuildCache)}
	for _, r := range u.BuildCache {
		if r.InUse {
			t.active++
		}
		if r.Shared {
			continue
		}
		t.size += r.Size
		if !r.InUse {
			t.free += r.Size
		}
	}
	return t
}

// piece is one record of the build cache; its methods are the fields of templates.
type piece struct {
	r     build.Record
	trunc bool
}

func (p piece) ID() string {
	id := p.r.ID
	if p.trunc {
		id = id[:min(12, len(id))]
	}
	if p.r.InUse {
		id += "*"
	}
	return id
}

// Parent is a field that Docker's formats have from before there could be several.
func (p piece) Parent() string       { return "" }
func (p piece) Parents() string      { return strings.Join(p.r.Parents, ", ") }
func (p piece) CacheType() string    { return p.r.Type }
func (p piece) Description() string  { return p.r.Description }
func (p piece) Size() string         { return units.HumanSizeWithPrecision(float64(p.r.Size), 3) }
func (p piece) CreatedAt() string    { return p.r.CreatedAt.String() }
func (p piece) CreatedSince() string { return units.HumanDuration(time.Since(p.r.CreatedAt)) + " ago" }

func (p piece) LastUsedAt() string {
	if p.r.LastUsedAt == nil {
		return ""
	}
	return p.r.LastUsedAt.String()
}

func (p piece) LastUsedSince() string {
	if p.r.LastUsedAt == nil {
		return ""
	}
	return units.HumanDuration(time.Since(*p.r.LastUsedAt)) + " ago"
}

func (p piece) UsageCount() string { return strconv.Itoa(p.r.UsageCount) }
func (p piece) InUse() string      { return strconv.FormatBool(p.r.InUse) }
func (p piece) Shared() string     { return strconv.FormatBool(p.r.Shared) }

// each is all that df -v prints; its fields are those of templates.
type each struct {
	Images     []image.Row
	Containers []container.Row
	Volumes    []volume.Row
	BuildCache []piece
}

// each makes the rows, for people (trunc) or whole.
func (u *usage) each(trunc bool) each {
	var out each
	rows := image.FullRows
	if trunc {
		rows = image.Rows
	}
	for _, i := range u.Images {
		out.Images = append(out.Images, rows(i)...)
	}
	for _, c := range u.Containers {
		c.SizeRootFs = 0 // the image's part is told above
		out.Containers = append(out.Containers, container.NewRow(c, trunc))
	}
	for _, v := range u.Volumes {
		out.Volumes = append(out.Volumes, volume.NewRow(v))
	}
	for _, r := range slices.SortedFunc(slices.Values(u.BuildCache), longestUnused) {
		out.BuildCache = append(out.BuildCache, piece{r, trunc})
	}
	return out
}

// raw prints the lines of the format of that name.
func (a each) raw(to io.Writer) error {
	return errors.Join(
		rawRows(to, "Image", image.RawLines(true), a.Images),
		rawRows(to, "Container", container.RawLines(true), a.Containers),
		rawRows(to, "Volume", volume.RawLines(), a.Volumes),
		rawRows(to, "Build Cache", output.Lines{
			"build_cache_id:ID", "parent_id:Parent", "build_cache_type:CacheType", "description:Description", "created_at:CreatedAt", "created_since:CreatedSince",
			"last_used_at:LastUsedAt", "last_used_since:LastUsedSince", "usage_count:UsageCount", "in_use:InUse", "shared:Shared",
		}, a.BuildCache),
	)
}

func rawRows[R any](to io.Writer, kind string, lines output.Lines, rows []R) error {
	return output.List(to, "type: "+kind+"\n"+lines.Template(""), "", nil, rows)
}

// longestUnused puts what was last used longest ago first.
func longestUnused(a, b build.Record) int {
	at := func(r build.Record) time.Time {
		if r.LastUsedAt == nil {
			return time.Time{}
		}
		return *r.LastUsedAt
	}
	return cmp.Or(at(a).Compare(at(b)), cmp.Compare(a.ID, b.ID))
}

func printEach(e *command.Env, format string, u *usage) error {
	if format == output.Raw {
		return u.each(false).raw(e.Out)
	}
	if format != "" && format != "table" {
		doc, err := u.each(false).document()
		if err != nil {
			return err
		}
		if format == "json" || format == "{{json .}}" {
			_, err = e.Out.Write(doc) // as docker, without a newline
			return err
		}
		return output.Objects(e.Out, format, []json.RawMessage{doc})
	}
	all := u.each(true)
	fmt.Fprint(e.Out, "Images space usage:\n\n")
	err := output.List(e.Out, "", "{{.Repository}}\t{{.Tag}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}\t{{.SharedSize}}\t{{.UniqueSize}}\t{{.Containers}}", image.Headers(), all.Images)
	if err != nil {
		return err
	}
	fmt.Fprint(e.Out, "\nContainers space usage:\n\n")
	err = output.List(e.Out, "", "{{.ID}}\t{{.Image}}\t{{.Command}}\t{{.LocalVolumes}}\t{{.Size}}\t{{.RunningFor}}\t{{.Status}}\t{{.Names}}", container.Headers(), all.Containers)
	if err != nil {
		return err
	}
	fmt.Fprint(e.Out, "\nLocal Volumes space usage:\n\n")
	if err := output.List(e.Out, "", "{{.Name}}\t{{.Links}}\t{{.Size}}", volume.Headers(), all.Volumes); err != nil {
		return err
	}
	if u.Registry.Repositories > 0 {
		fmt.Fprintf(e.Out, "\nRegistry usage: %s beside the images (lus registry ls)\n", units.HumanSize(float64(u.Registry.Size)))
	}
	fmt.Fprintf(e.Out, "\nBuild cache usage: %s\n\n", u.cache().Size())
	return output.List(e.Out, "", "{{.ID}}\t{{.CacheType}}\t{{.Size}}\t{{.CreatedSince}}\t{{.LastUsedSince}}\t{{.UsageCount}}\t{{.Shared}}", output.Headers{
		"ID": "CACHE ID", "CacheType": "CACHE TYPE", "Size": "SIZE", "CreatedSince": "CREATED", "LastUsedSince": "LAST USED",
		"UsageCount": "USAGE", "Shared": "SHARED",
	}, all.BuildCache)
}

// document is all of it as JSON, the keys in docker's order.
func (a each) document() (json.RawMessage, error) {
	var doc struct{ Images, Containers, Volumes, BuildCache json.RawMessage }
	var failed [4]error
	doc.Images, failed[0] = jsonRows(a.Images)
	doc.Containers, failed[1] = jsonRows(a.Containers)
	doc.Volumes, failed[2] = jsonRows(a.Volumes)
	doc.BuildCache, failed[3] = jsonRows(a.BuildCache)
	if err := errors.Join(failed[:]...); err != nil {
		return nil, err
	}
	return json.Marshal(doc)
}

func jsonRows[R any](rows []R) (json.RawMessage, error) {
	var b bytes.Buffer
	if err := output.List(&b, "json", "", nil, rows); err != nil {
		return nil, err
	}
	lines := bytes.Split(bytes.TrimSpace(b.Bytes()), []byte("\n"))
	return append(append([]byte("["), bytes.Join(lines, []byte(","))...), ']'), nil
}
