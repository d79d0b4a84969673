# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# The private PostgreSQL 15: durable as in production (fsync on), passwords by scram.

POSTGRES_BIN=/usr/lib/postgresql/15/bin
POSTGRES_TEMPLATE=$HERE/../build/cache/postgres-15.tar

postgres_prepare()
{
    choose_ports postgres
    [ -s "$D/postgres/PG_VERSION" ] || postgres_create
    postgres_settings | write_private "$D/postgres/comanda.conf"
}

postgres_launch()
{
    # Nobody serves this folder any more (end_leftovers), but a pid that nobody has reaped would
    # make PostgreSQL believe in its old lock files.
    rm -f "$D/postgres/postmaster.pid" "$D"/run/.s.PGSQL.*
    launch postgres "$POSTGRES_BIN/postgres" -D "$D/postgres"
}

postgres_wait()
{
    wait_ready postgres 60 postgres_ready
}

# A new data folder from the template, which initdb fills once a clone: 0.1 s instead of 3.
postgres_create()
{
    [ -s "$POSTGRES_TEMPLATE" ] || postgres_make_template
    unprivileged tar -xf - -C "$D/postgres" <"$POSTGRES_TEMPLATE"
    echo "include 'comanda.conf'" >>"$D/postgres/postgresql.conf"
    postgres_settings | write_private "$D/postgres/comanda.conf"
    # The single-user mode sets the passwords before anybody can connect.
    postgres_first_statements |
        unprivileged "$POSTGRES_BIN/postgres" --single -j -D "$D/postgres" postgres \
            >>"$D/logs/postgres.log" 2>&1
}

postgres_make_template()
{
    local scratch
    mkdir -p "$(dirname "$POSTGRES_TEMPLATE")"
    scratch=$D/template
    make_folder template
    echo unused | write_private "$D/run/first_password"
    unprivileged "$POSTGRES_BIN/initdb" -D "$scratch" -U comanda --auth-local=scram-sha-256 \
        --auth-host=scram-sha-256 --pwfile="$D/run/first_password" -E UTF8 --locale=C.UTF-8 \
        --no-sync >>"$D/logs/postgres.log" 2>&1
    # Another start may be making the same file: each writes its own, the last rename stands.
    tar -cf "$POSTGRES_TEMPLATE.$$" -C "$scratch" .
    mv -f "$POSTGRES_TEMPLATE.$$" "$POSTGRES_TEMPLATE"
    rm -rf "$scratch" "$D/run/first_password"
}

postgres_first_statements()
{
    printf '%s\n\n' "ALTER ROLE comanda PASSWORD '$(secret postgres_superuser)';"
    printf '%s\n\n' "CREATE ROLE comanda_owner LOGIN CREATEDB CREATEROLE PASSWORD '$(secret postgres_owner)';"
}

postgres_settings()
{
    cat <<CONF
listen_addresses = '127.0.0.1'
port = $(port_of postgres)
unix_socket_directories = '$D/run'
max_connections = 200
password_encryption = 'scram-sha-256'
shared_buffers = 128MB
min_wal_size = 1GB
max_wal_size = 4GB
commit_delay = 0
wal_compression = off
jit = off
timezone = 'UTC'
log_timezone = 'UTC'
log_line_prefix = '%m [%p] %q%u@%d '
CONF
}

# Its own folder says that it is ours that answers, and not another one that has taken the port.
postgres_ready()
{
    local file=$D/postgres/postmaster.pid pid
    find_pid postgres && read -r pid <"$file" && [ "$pid" = "$PID" ] && grep -q '^ready' "$file" &&
        "$POSTGRES_BIN/pg_isready" -q -h 127.0.0.1 -p "$(port_of postgres)" -t 2
}

postgres_stop()
{
    end_server postgres INT 30
    end_leftovers postgres
}

postgres_kill()
{
    end_server postgres QUIT 5
    end_leftovers postgres
}

postgres_env()
{
    local port
    port=$(port_of postgres)
    cat <<ENV
COMANDA_TEST_POSTGRES='host=127.0.0.1 port=$port dbname=postgres user=comanda_owner password=$(secret postgres_owner)'
COMANDA_TEST_POSTGRES_SUPERUSER='host=127.0.0.1 port=$port dbname=postgres user=comanda password=$(secret postgres_superuser)'
COMANDA_TEST_POSTGRES_HOST='127.0.0.1'
COMANDA_TEST_POSTGRES_PORT='$port'
ENV
}
