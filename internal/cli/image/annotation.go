package image

import (
	"slices"
	"strings"

	"lus/internal/base/errs"
	"lus/internal/model/build"
)

// annotationTypes are what of an image can be annotated.
var annotationTypes = []string{"manifest", "index", "manifest-descriptor", "index-descriptor"}

// annotate adds the annotations to every output that is an image, in the words of
// BuildKit's exporters.
func (m *moreFlags) annotate(r *build.Request) error {
	if len(m.annotations) == 0 {
		return nil
	}
	attrs := map[string]string{}
	for _, text := range m.annotations {
		keys, value, err := annotation(text)
		if err != nil {
			return err
		}
		for _, k := range keys {
			attrs[k] = value
		}
	}
	if len(r.Outputs) == 0 {
		r.Outputs = []build.Output{{Type: "image"}}
	}
	held := false
	for i, o := range r.Outputs {
		if !slices.Contains([]string{"image", "registry", "oci", "docker"}, o.Type) {
			continue
		}
		held = true
		if o.Attrs == nil {
			r.Outputs[i].Attrs = map[string]string{}
		}
		for k, v := range attrs {
			r.Outputs[i].Attrs[k] = v
		}
	}
	if !held {
		return errs.New(errs.Invalid, "--annotation is for an image, and no output is one: write --output type=image, oci or docker")
	}
	return nil
}

// annotation reads "[TYPE[PLATFORM][,...]:]KEY=VALUE" and gives the attributes that
// stand for it.
func annotation(text string) (attrs []string, value string, err error) {
	key, value, ok := strings.Cut(text, "=")
	types, name, typed := strings.Cut(key, ":")
	if !typed {
		types, name = "manifest", key
	}
	if !ok || name == "" || strings.ContainsAny(name, " \t\n") {
		return nil, "", errs.New(errs.Invalid, "invalid --annotation %q: write it as KEY=VALUE, or TYPE:KEY=VALUE", text)
	}
	for t := range strings.SplitSeq(types, ",") {
		kind, platform, bounded := strings.Cut(t, "[")
		if !slices.Contains(annotationTypes, kind) {
			return nil, "", errs.New(errs.Invalid, "invalid --annotation %q: the type %q is none of %s", text, kind, strings.Join(annotationTypes, ", "))
		}
		switch {
		case !bounded:
		case !strings.HasSuffix(platform, "]") || len(platform) < 2:
			return nil, "", errs.New(errs.Invalid, "invalid --annotation %q: write a platform as manifest[linux/amd64]:KEY=VALUE", text)
		case strings.HasPrefix(kind, "index"):
			return nil, "", errs.New(errs.Invalid, "invalid --annotation %q: an index is for all platforms", text)
		default:
			platform = "[" + platform
		}
		attrs = append(attrs, "annotation-"+kind+platform+"."+name)
	}
	return attrs, value, nil
}
