#!/bin/bash
# Makes the database at the first start, from the variables of the official
# image, and then becomes the server:
#
#   MARIADB_ROOT_PASSWORD, MARIADB_ALLOW_EMPTY_ROOT_PASSWORD or
#   MARIADB_RANDOM_ROOT_PASSWORD   one of them is required
#   MARIADB_DATABASE               a database to create
#   MARIADB_USER, MARIADB_PASSWORD its owner
#
# MYSQL_... names do as well. *.sql and *.sh in /docker-entrypoint-initdb.d run
# once, in order.
set -euo pipefail

data=/var/lib/mysql
socket=/run/mysqld/mysqld.sock

say() { printf 'entrypoint: %s\n' "$*"; }

# setting NAME: the value of MARIADB_NAME, or of MYSQL_NAME.
setting() {
	local maria=MARIADB_$1 my=MYSQL_$1
	printf '%s' "${!maria:-${!my:-}}"
}

quote() { # an SQL string; backslashes and quotes are escaped
	local s=${1//\\/\\\\}
	printf "'%s'" "${s//\'/\\\'}"
}

statements() {
	local database user
	database=$(setting DATABASE) user=$(setting USER)
	echo "DELETE FROM mysql.global_priv WHERE User = '';"
	echo "FLUSH PRIVILEGES;"
	if [ -n "$root" ]; then
		echo "CREATE USER root@'%' IDENTIFIED BY $(quote "$root");"
		echo "GRANT ALL ON *.* TO root@'%' WITH GRANT OPTION;"
		echo "ALTER USER root@localhost IDENTIFIED VIA unix_socket OR mysql_native_password USING PASSWORD($(quote "$root"));"
	fi
	[ -z "$database" ] || echo "CREATE DATABASE IF NOT EXISTS \`${database//\`/\`\`}\`;"
	if [ -n "$user" ]; then
		echo "CREATE USER $(quote "$user")@'%' IDENTIFIED BY $(quote "$(setting PASSWORD)");"
		[ -z "$database" ] || echo "GRANT ALL ON \`${database//\`/\`\`}\`.* TO $(quote "$user")@'%';"
	fi
}

init_scripts() {
	local file
	for file in /docker-entrypoint-initdb.d/*; do
		case $file in
		*.sql) say "running $file"; mariadb --socket "$socket" "$(setting DATABASE)" <"$file" ;;
		*.sh) say "running $file"; bash "$file" ;;
		esac
	done
}

first_start() {
	root=$(setting ROOT_PASSWORD)
	if [ -n "$(setting RANDOM_ROOT_PASSWORD)" ]; then
		root=$(head -c 24 /dev/urandom | base64)
		say "GENERATED ROOT PASSWORD: $root"
	elif [ -z "$root" ] && [ -z "$(setting ALLOW_EMPTY_ROOT_PASSWORD)" ]; then
		say "the database is not made yet and no root password is given" >&2
		say "set one of MARIADB_ROOT_PASSWORD, MARIADB_ALLOW_EMPTY_ROOT_PASSWORD and MARIADB_RANDOM_ROOT_PASSWORD" >&2
		exit 1
	fi
	say "making the database"
	# What an interrupted first start left would be taken for a database.
	find "$data" -mindepth 1 -delete
	mariadb-install-db --user=mysql --datadir="$data" --skip-test-db --auth-root-authentication-method=socket >/dev/null

	mariadbd --user=mysql --skip-networking --socket="$socket" &
	local server=$!
	until mariadb-admin --socket "$socket" ping >/dev/null 2>&1; do
		kill -0 "$server" 2>/dev/null || { say "the server did not start" >&2; exit 1; }
		sleep 0.1
	done
	statements | mariadb --socket "$socket"
	init_scripts
	kill "$server"
	wait "$server" || true
	touch "$data/.made"
	say "the database is made"
}

if [ "${1:-}" = mariadbd ] && [ "$(id -u)" = 0 ]; then
	chown mysql:mysql "$data" /run/mysqld
	[ -e "$data/.made" ] || first_start
	unset "${!MARIADB_@}" "${!MYSQL_@}"
	set -- "$@" --user=mysql
fi
exec "$@"
