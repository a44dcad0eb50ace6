#!/bin/sh
# Well once the server answers on its port: the server of the first start, which
# makes the database, has none.
exec mariadb-admin --protocol=tcp --host=127.0.0.1 --connect-timeout=2 --silent ping
