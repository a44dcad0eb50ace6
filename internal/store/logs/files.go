package logs

import (
	"bytes"
	"os"
	"slices"
	"syscall"

	"lus/internal/base/errs"
)

// find appends the files that are younger than those known, oldest first.
//
// It goes from the newest name to the oldest, the way a rotation moves files,
// so that none slips by; a file met twice is known by its number. A gap in the
// numbers means that a rotation was half done: it looks again.
func (r *Reader) find() error {
	known := len(r.files)
	for range 3 {
		found, err := r.sweep()
		if err != nil {
			return err
		}
		for _, f := range r.files[known:] {
			f.f.Close()
		}
		r.files = append(r.files[:known], found...)
		if contiguous(found) {
			break
		}
	}
	if n := len(r.files); n > known {
		r.seq = r.files[n-1].head.seq
	}
	if known == 0 {
		r.openWindow()
	}
	return nil
}

// sweep opens every file of the log younger than r.seq.
func (r *Reader) sweep() ([]*file, error) {
	var found []*file
	for n, missing := 0, 0; missing < maxGap; n++ {
		f, err := openFile(name(r.path, n))
		if err != nil {
			for _, f := range found {
				f.f.Close()
			}
			return nil, err
		}
		if f == nil {
			missing++
			continue
		}
		missing = 0
		if f.head.seq <= r.seq {
			f.f.Close()
			break
		}
		if slices.ContainsFunc(found, func(g *file) bool { return g.head.seq == f.head.seq }) {
			f.f.Close()
			continue
		}
		found = append(found, f)
	}
	slices.SortFunc(found, func(a, b *file) int { return int(int64(a.head.seq) - int64(b.head.seq)) })
	return found, nil
}

func contiguous(files []*file) bool {
	for i := 1; i < len(files); i++ {
		if files[i].head.seq != files[i-1].head.seq+1 {
			return false
		}
	}
	return true
}

// openFile opens one file of a log; nil where there is none, or none that has
// its head already.
func openFile(path string) (*file, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		if gentle(err) == nil {
			return nil, nil
		}
		return nil, errs.New(errs.Internal, "cannot read the log: %w", err)
	}
	st, err := f.Stat()
	if err != nil || !st.Mode().IsRegular() {
		f.Close()
		return nil, errs.New(errs.Internal, "the log %s is not a regular file", path)
	}
	b := make([]byte, headSize)
	if readAt(f, b, 0) == nil {
		if h, ok := decodeHead(b); ok {
			return &file{f: f, head: h, off: headSize}, nil
		}
	}
	f.Close()
	return nil, nil
}

// seekTail moves the beginning to n lines before the end.
func (r *Reader) seekTail(n int) error {
	count := tail{opt: r.opt, lines: n}
	for i := len(r.files) - 1; i >= 0; i-- {
		done, err := count.file(r.files[i])
		if err != nil {
			return errs.New(errs.Internal, "cannot read the log %s: %w", r.path, err)
		}
		if done {
			for _, f := range r.files[:i] {
				f.f.Close()
			}
			r.files = r.files[i:]
			if !count.rest.Time.Before(r.opt.Since) {
				r.rest = count.rest
			}
			break
		}
	}
	r.openWindow()
	return nil
}

// tail counts lines backwards.
type tail struct {
	opt   Options
	lines int
	begun bool  // a wanted record was seen
	rest  Entry // the end of the record that the n-th line begins in
}

// file walks one file from its end and reports whether the place was found.
// The file's offset is left at the record after it.
func (t *tail) file(f *file) (bool, error) {
	st, err := f.f.Stat()
	if err != nil {
		return false, err
	}
	end, err := validEnd(f.f, f.head, st.Size())
	if err != nil {
		return false, err
	}
	if t.lines == 0 {
		f.off = end
		return true, nil
	}
	for end > headSize {
		start, ok, err := recordBefore(f.f, f.head, end)
		if err != nil || !ok {
			return false, err
		}
		b := make([]byte, end-start)
		if err := readAt(f.f, b, start); err != nil {
			return false, err
		}
		p, ok := decodePrefix(b, f.head.marker)
		if !ok {
			return false, nil
		}
		if at, found := t.record(p.entry(b[prefixSize : prefixSize+p.length])); found {
			f.off = end
			t.rest = at
			return true, nil
		}
		end = start
	}
	return false, nil
}

// record counts the lines that begin in e; found means that what is returned,
// which may be empty, and all behind it are the wanted lines.
func (t *tail) record(e Entry) (rest Entry, found bool) {
	if !t.opt.wants(e.Stream) || (!t.opt.Until.IsZero() && e.Time.After(t.opt.Until)) {
		return Entry{}, false
	}
	data := e.Data
	if !t.begun {
		// The newline at the very end begins no line.
		t.begun = true
		if data[len(data)-1] == '\n' {
			data = data[:len(data)-1]
		}
	}
	for {
		i := bytes.LastIndexByte(data, '\n')
		if i < 0 {
			return Entry{}, false
		}
		if t.lines--; t.lines == 0 {
			e.Data = e.Data[i+1:]
			return e, true
		}
		data = data[:i]
	}
}
