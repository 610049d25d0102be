#!/bin/sh
# As the image of PostgreSQL does it: makes the databases where the volume is new, with a server that answers on the
# socket alone, then starts the server.
set -eu
export PGDATA=/var/lib/postgresql/18/docker
if [ ! -s "$PGDATA/PG_VERSION" ]; then
    initdb --username=postgres --pwfile="$POSTGRES_PASSWORD_FILE" $POSTGRES_INITDB_ARGS -D "$PGDATA"
    echo 'host all all all scram-sha-256' >> "$PGDATA/pg_hba.conf"
    pg_ctl -w start -o "-c listen_addresses= -c unix_socket_directories=$PGHOST"
    for file in /docker-entrypoint-initdb.d/*.sql; do
        psql --set ON_ERROR_STOP=1 --no-psqlrc --username postgres --file "$file"
    done
    pg_ctl -w stop --mode fast
fi
exec "$@" -c listen_addresses='*' -c unix_socket_directories="$PGHOST"
