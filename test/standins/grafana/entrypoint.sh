#!/bin/sh
set -eu
printf 'admin:%s\n' "$(openssl passwd -6 "$GF_SECURITY_ADMIN_PASSWORD")" >/run/users
echo '{"login":"admin"}' >/srv/user.json
unset GF_SECURITY_ADMIN_PASSWORD
exec "$@"
