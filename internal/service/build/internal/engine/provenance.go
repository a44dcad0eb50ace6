package engine

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"

	"lus/internal/base/errs"
)

// provenance reads the fields of a folder's *.json files, those of later names
// over those of earlier ones.
func provenance(dir string) (map[string]any, error) {
	if dir == "" {
		return nil, nil
	}
	if _, err := os.Stat(dir); err != nil {
		return nil, errs.New(errs.Invalid, "the folder for provenance: %w", err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil {
		return nil, err
	}
	slices.Sort(files)
	out := map[string]any{}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			return nil, err
		}
		if err := json.Unmarshal(text, &out); err != nil {
			return nil, errs.New(errs.Invalid, "%s is not a JSON object: %w", f, err)
		}
	}
	return out, nil
}
