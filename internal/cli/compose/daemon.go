package compose

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"strings"
	"sync"

	"lus/internal/base/errs"
	"lus/internal/cli/terminal"
	"lus/internal/client"
	"lus/internal/model/compose"
)

// Daemon is what lus-compose asks of the daemon's client.
type Daemon interface {
	// Do sends a request with body as JSON (nil: none) and returns the answer's
	// body. An answer that is an error comes back as one, with its kind.
	Do(ctx context.Context, method, path string, body any) (io.ReadCloser, error)
	// Send is the same with headers and without JSON.
	Send(ctx context.Context, r client.Request) (*client.Response, error)
	// Hijack makes a request whose connection carries output from then on.
	Hijack(ctx context.Context, r client.Request) (*client.Stream, error)
}

// get decodes a JSON answer.
func get[T any](ctx context.Context, d Daemon, path string) (T, error) {
	body, err := d.Do(ctx, "GET", path, nil)
	if err != nil {
		var none T
		return none, err
	}
	return decode[T](body)
}

// decode reads a JSON answer to its end.
func decode[T any](body io.ReadCloser) (T, error) {
	var v T
	defer body.Close()
	return v, client.NewMessages(body).Next(&v)
}

// sign says who asks, and whether only to see what would be done.
func (a *app) sign(req any) {
	switch r := req.(type) {
	case *compose.UpRequest:
		r.DryRun = a.dryRun
		if r.By == (compose.Caller{}) {
			r.By = caller()
		}
	case *compose.DownRequest:
		r.By, r.DryRun = caller(), a.dryRun
	case *compose.StateRequest:
		r.By, r.DryRun = caller(), a.dryRun
	case *compose.BuildRequest:
		r.DryRun = a.dryRun
	case *compose.PullRequest:
		r.DryRun = a.dryRun
	}
}

// stream sends a request to the compose service and prints what happens.
func (a *app) stream(ctx context.Context, verb string, req any, p *printer) error {
	a.sign(req)
	body, err := a.daemon.Do(ctx, "POST", "/lus/v1/compose/"+verb, req)
	if err != nil {
		return err
	}
	defer body.Close()
	defer p.begin()()
	var described sync.WaitGroup
	defer described.Wait()
	messages := client.NewMessages(body)
	for {
		var e compose.Event
		if err := messages.Next(&e); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return errs.New(errs.Unavailable, "the daemon ended in the middle of `compose %s`: %w; run the command again, it goes on where it was", verb, err)
		}
		if e.Error != "" {
			return errs.New(errs.Kind(e.ErrorKind), "%s", e.Error)
		}
		if up, ok := req.(*compose.UpRequest); ok && e.Deployment != 0 {
			described.Go(func() { a.describe(ctx, e.Deployment, up.Project.WorkingDir) })
		}
		p.event(e)
	}
}

// summary is one row of GET /containers/json.
type summary struct {
	ID      string `json:"Id"`
	Names   []string
	Image   string
	ImageID string
	Command string
	Created int64
	State   string
	Status  string
	Labels  map[string]string
	Ports   []struct {
		IP          string
		PrivatePort uint16
		PublicPort  uint16
		Type        string
	}
	Mounts          []struct{ Type, Name, Source, Driver string }
	NetworkSettings struct{ Networks map[string]any }

	SizeRw, SizeRootFs int64
}

func (c summary) service() string { return c.Labels[compose.LabelService] }

// containers lists a project's containers, or all projects' where it is empty.
func (a *app) containers(ctx context.Context, project string, all bool) ([]summary, error) {
	label := compose.LabelProject
	if project != "" {
		label += "=" + project
	}
	filters, err := json.Marshal(map[string][]string{"label": {label}})
	if err != nil {
		return nil, err
	}
	q := url.Values{"filters": {string(filters)}}
	if all {
		q.Set("all", "1")
	}
	return get[[]summary](ctx, a.daemon, "/containers/json?"+q.Encode())
}

// printer tells of what happens: to a person one line for each step that ended,
// and what builds print as it comes; to a program one JSON object for each event.
type printer struct {
	w     *terminal.Log
	out   io.Writer // for plans: nothing else was asked for
	quiet bool
	json  bool
	plain bool // nothing is redrawn: others write to the terminal meanwhile
	color bool
	tty   *os.File   // redraws there, where it is not nil
	live  *liveSteps // while a stream is shown
	// pulling are the images that are being pulled.
	pulling map[string]bool
}

// begin shows what comes on the terminal until the returned function is called.
func (p *printer) begin() (end func()) {
	if p.plain || p.tty == nil || p.quiet || p.json {
		return func() { _ = p.w.Close() }
	}
	p.live, p.pulling = newLiveSteps(p.tty, p.color), map[string]bool{}
	return func() {
		p.live.close()
		p.live = nil
	}
}

// jsonStep is one event as docker compose's --progress json has it.
type jsonStep struct {
	ID      string `json:"id,omitempty"`
	Status  string `json:"status,omitempty"`
	Text    string `json:"text,omitempty"`
	Details string `json:"details,omitempty"`
}

func (p *printer) event(e compose.Event) {
	switch {
	case e.Plan != "" && p.out != nil:
		fmt.Fprintln(p.out, e.Plan)
	case p.json:
		p.object(e)
	case p.live != nil && e.Kind == "Image" && e.Text != "" && p.pulling[e.Name]:
		// What the registry says of each layer is for a log.
	case p.live != nil:
		if e.Kind == "Image" {
			p.pulling[e.Name] = e.Status == "Pulling"
		}
		p.live.event(e, e.Line(false))
	default:
		fmt.Fprint(p.w, e.Line(p.quiet))
	}
}

func (p *printer) object(e compose.Event) {
	s := jsonStep{Status: "Working", Text: e.Status, Details: cmp.Or(e.Progress, strings.TrimRight(e.Text, "\n"))}
	if e.Kind != "" {
		s.ID = e.Kind + " " + e.Name
	}
	switch {
	case e.Warning != "":
		s = jsonStep{Status: "Warning", Text: e.Warning}
	case e.Done && e.Status == "Error":
		s.Status = "Error"
	case e.Done:
		s.Status = "Done"
	}
	_ = printJSON(p.w, s)
}
