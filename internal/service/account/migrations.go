package account

import "lus/internal/store/sqlite"

// Migrations are the tables of accounts. Times are seconds since 1970; 0 is
// never. A user's id is never given to another.
func Migrations() []sqlite.Migration {
	return []sqlite.Migration{{Name: "account 1: users, tokens, rules", SQL: `
		CREATE TABLE account_users(
			id INTEGER PRIMARY KEY AUTOINCREMENT,
			name TEXT NOT NULL UNIQUE,
			password TEXT NOT NULL,
			admin INTEGER NOT NULL,
			disabled INTEGER NOT NULL,
			generation INTEGER NOT NULL DEFAULT 1,
			created INTEGER NOT NULL) STRICT;
		CREATE TABLE account_tokens(
			id TEXT PRIMARY KEY,
			user INTEGER NOT NULL REFERENCES account_users(id) ON DELETE CASCADE,
			name TEXT NOT NULL,
			hash BLOB NOT NULL,
			scopes TEXT NOT NULL,
			login INTEGER NOT NULL,
			created INTEGER NOT NULL,
			expires INTEGER NOT NULL,
			used INTEGER NOT NULL DEFAULT 0) STRICT, WITHOUT ROWID;
		CREATE INDEX account_tokens_user ON account_tokens(user);
		CREATE TABLE account_rules(
			user INTEGER REFERENCES account_users(id) ON DELETE CASCADE,
			others TEXT NOT NULL,
			resource TEXT NOT NULL,
			actions INTEGER NOT NULL) STRICT;
		CREATE UNIQUE INDEX account_rules_one ON account_rules(coalesce(user, 0), others, resource);
		CREATE TABLE account_retired(name TEXT PRIMARY KEY, since INTEGER NOT NULL) STRICT, WITHOUT ROWID;`}, {
		Name: "account 2: who is on this host, until there is a user", SQL: `
		ALTER TABLE account_rules ADD COLUMN initial INTEGER NOT NULL DEFAULT 0;
		INSERT INTO account_rules(others, resource, actions, initial)
			SELECT 'loopback', 'registry:*', 7, 1 WHERE NOT EXISTS (SELECT 1 FROM account_users);`}, {
		// Of two tokens of one second the younger has the higher turn.
		Name: "account 3: the order of tokens", SQL: `
		ALTER TABLE account_tokens ADD COLUMN turn INTEGER NOT NULL DEFAULT 0;`}}
}
