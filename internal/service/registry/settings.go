package registry

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"net"
	"strconv"

	"lus/internal/base/errs"
	"lus/internal/model/registry"
	"lus/internal/store/sqlite"
)

// DefaultAddress is where the registry listens if nobody says otherwise: on this
// host alone, at the port that registries have.
const DefaultAddress = "127.0.0.1:5000"

const keyListener = "listener"

// Settings returns where the registry is to listen.
func (s *Service) Settings(ctx context.Context) (registry.Settings, error) {
	set := registry.Settings{Address: DefaultAddress}
	err := s.db.Read(ctx, func(tx *sql.Tx) error {
		var text string
		err := tx.QueryRow("SELECT value FROM registry_settings WHERE key = ?", keyListener).Scan(&text)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		return json.Unmarshal([]byte(text), &set)
	})
	return set, err
}

// SetSettings keeps where the registry is to listen, over restarts.
func (s *Service) SetSettings(ctx context.Context, set registry.Settings) error {
	text, err := json.Marshal(set)
	if err != nil {
		return err
	}
	return s.db.Write(ctx, sqlite.Power, func(tx *sql.Tx) error {
		_, err := tx.Exec("INSERT INTO registry_settings(key, value) VALUES(?, ?) ON CONFLICT DO UPDATE SET value = excluded.value", keyListener, string(text))
		return err
	})
}

// CheckAddress completes an address to listen on: a port alone means this host.
func CheckAddress(text string) (string, error) {
	if text == "" {
		return DefaultAddress, nil
	}
	if _, err := strconv.ParseUint(text, 10, 16); err == nil {
		text = ":" + text
	}
	host, port, err := net.SplitHostPort(text)
	if err != nil {
		return "", errs.New(errs.Invalid, "%q is not an address to listen on: write HOST:PORT or PORT", text)
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return "", errs.New(errs.Invalid, "%q is not a port", port)
	}
	if host == "" {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port), nil
}
