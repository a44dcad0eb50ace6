package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// bigFile is a Compose file of about so many lines: services as people write
// them, each waiting for the one before.
func bigFile(lines int) string {
	var b strings.Builder
	b.WriteString("name: big\nservices:\n")
	for i := 0; strings.Count(b.String(), "\n") < lines-12; i++ {
		fmt.Fprintf(&b, `  s%[1]d:
    image: registry.example/app:${TAG:-1}
    command: ["serve", "--name", "s%[1]d"]
    restart: unless-stopped
    environment:
      NAME: s%[1]d
      LEVEL: ${LEVEL:-info}
    ports:
      - "%[2]d:80"
    volumes:
      - data:/data
    networks:
      - front
    healthcheck:
      test: ["CMD", "check"]
      interval: 5s
    deploy:
      resources:
        limits:
          memory: 64M
`, i, 10000+i)
		if i > 0 {
			fmt.Fprintf(&b, "    depends_on:\n      - s%d\n", i-1)
		}
	}
	b.WriteString("networks:\n  front:\nvolumes:\n  data:\n")
	return b.String()
}

// config measures how long a file of 2,000 lines takes to be read and printed,
// again: the first time it is judged by the schema too.
func (b *suite) config() (*row, error) {
	r := &row{Name: "`compose config`, 2,000 lines", Unit: "ms", Goals: atMost(40)}
	dir, err := os.MkdirTemp("", "lus-bench-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "compose.yaml")
	if err := os.WriteFile(file, []byte(bigFile(2000)), 0o644); err != nil {
		return nil, err
	}
	for range 10 {
		if err := b.each(func(s *side) error {
			if !s.compose {
				return nil
			}
			return r.timed(s.name, only(s, "compose", "-f", file, "config"))
		}); err != nil {
			return nil, err
		}
	}
	return r, nil
}
