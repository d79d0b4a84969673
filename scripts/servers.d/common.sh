# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# What the private servers share: their folder, user, ports, secrets, pids, and how they are ended.

# Used by the scripts that source this file.
# shellcheck disable=SC2034
ALL_SERVERS=(postgres rabbitmq redis)
SERVER_USER=${COMANDA_USER:-postgres}
# sun_path holds 108 bytes with its closing NUL; the longest socket is D/run/.s.PGSQL.32767.
SOCKET_PATH_MAX=107
SOCKET_NAME=/run/.s.PGSQL.32767

fail()
{
    echo "servers: $*" >&2
    exit 1
}

is_root()
{
    [ "$EUID" -eq 0 ]
}

# Replaces this process by a command under the unprivileged user when we are root.
exec_unprivileged()
{
    if is_root; then
        exec setpriv --reuid="$SERVER_USER" --regid="$SERVER_USER" --clear-groups "$@"
    fi
    exec "$@"
}

unprivileged()
{
    (exec_unprivileged "$@")
}

# Starts a server in its own session and folder, so that Ctrl-C at a terminal does not reach it, and
# notes its pid. The started process must become the server itself.
launch()
{
    local name=$1 pid
    shift
    (
        cd "$D/$name" || exit 1
        exec_unprivileged setsid "$@" </dev/null >>"$D/logs/$name.log" 2>&1
    ) &
    pid=$!
    read_stat $pid
    pid_file "$name"
    printf '%s\n' $pid >"$D/run/$name.new" # in the private folder: nobody reads half a file
    mv -f "$D/run/$name.new" "$PID_FILE"
    printf '%s\n' "$STARTED" >"$D/run/$name.started"
}

# Sets PID_FILE. epmd is a part of RabbitMQ, not a server that anybody looks for.
pid_file()
{
    case $1 in
    epmd) PID_FILE=$D/run/$1.pid ;;
    *) PID_FILE=$D/pids/$1.pid ;;
    esac
}

# Sets STATE and STARTED of a pid from /proc; by the shell alone, since it is asked often. A pid that
# was given to another process later has another STARTED.
read_stat()
{
    local line fields
    IFS= read -r line 2>/dev/null <"/proc/$1/stat" || return 1
    read -ra fields <<<"${line##*) }"
    STATE=${fields[0]}
    STARTED=${fields[19]}
}

# Sets PID to the server's when it is alive and still the process that we started.
find_pid()
{
    local started
    pid_file "$1"
    [ -r "$PID_FILE" ] && [ -r "$D/run/$1.started" ] || return 1
    read -r PID <"$PID_FILE" || return 1
    read -r started <"$D/run/$1.started" || return 1
    { read_stat "$PID"; } 2>/dev/null || return 1
    [ "$STARTED" = "$started" ] && [ "$STATE" != Z ]
}

server_alive()
{
    find_pid "$1"
}

# Polls a command until it succeeds; fails at once when the named server has died.
wait_ready()
{
    local name=$1 seconds=$2 deadline
    shift 2
    deadline=$((SECONDS + seconds))
    until "$@" 2>/dev/null; do
        server_alive "$name" || return 1
        [ $SECONDS -lt $deadline ] || return 1
        sleep 0.05
    done
}

# Sends a signal and waits; after the given seconds it sends KILL.
end_server()
{
    local name=$1 signal=$2 seconds=$3 pid deadline
    if find_pid "$name"; then
        pid=$PID
        deadline=$((SECONDS + seconds))
        kill "-$signal" "$pid" 2>/dev/null || true
        while server_alive "$name"; do
            if [ $SECONDS -ge $deadline ]; then
                kill -KILL "$pid" 2>/dev/null || true
                deadline=$((SECONDS + seconds))
            fi
            sleep 0.05
        done
    fi
    pid_file "$name"
    rm -f "$PID_FILE" "$D/run/$name.started"
}

# Prints the pids of a server's own programs, told by their working folder.
pids_within()
{
    local name=$1 link entry program
    while IFS= read -r link; do
        entry=${link%/cwd}
        program=$(cat "$entry/comm" 2>/dev/null) || continue
        case $name:$program in
        postgres:postgres | redis:redis-server | epmd:epmd | \
            rabbitmq:beam.smp | rabbitmq:erl_child_setup | rabbitmq:inet_gethost)
            echo "${entry#/proc/}"
            ;;
        esac
    done < <(find /proc -mindepth 2 -maxdepth 2 -path '/proc/[0-9]*/cwd' -lname "$D/$name" 2>/dev/null)
}

# Ends what a server that was killed has left behind, and waits until it is gone.
end_leftovers()
{
    local name=$1 pids deadline=$((SECONDS + 10))
    while pids=$(pids_within "$name") && [ -n "$pids" ]; do
        # shellcheck disable=SC2086
        kill -KILL $pids 2>/dev/null || true
        [ $SECONDS -lt $deadline ] || fail "the processes $pids of $D/$name cannot be ended"
        sleep 0.05
    done
}

# Writes stdin to a file that only the server's user (and root) can read.
write_private()
{
    local file=$1
    (umask 077 && cat >"$file.new")
    if is_root; then
        chown "$SERVER_USER:" "$file.new"
    fi
    mv -f "$file.new" "$file"
}

port_of()
{
    [ ! -f "$D/ports" ] || sed -n "s/^$1=//p" "$D/ports"
}

# Keeps each named port of an earlier start when it is still free, else chooses another.
choose_ports()
{
    local name port
    (
        flock 9 # servers of one folder may be started one by one at the same time
        for name in "$@"; do
            port=$(port_of "$name")
            if [ -n "$port" ] && "$HERE/free_ports" --test "$port"; then
                continue
            fi
            port=$("$HERE/free_ports" 1)
            {
                grep -v "^$name=" "$D/ports" 2>/dev/null || true
                echo "$name=$port"
            } | write_private "$D/ports"
        done
    ) 9>"$D/run/ports.lock"
}

# Prints the secret of that name, made at its first use.
secret()
{
    if [ ! -s "$D/secrets/$1" ]; then
        od -An -N16 -tx1 /dev/urandom | tr -d ' \n' | write_private "$D/secrets/$1"
    fi
    cat "$D/secrets/$1"
}

show_failure()
{
    echo "servers: $1 did not start; the end of $D/logs/$1.log:" >&2
    tail -n 20 "$D/logs/$1.log" >&2 || true
}

# True when the servers can live in this folder itself: not for root (they refuse it, and nobody
# else can enter a clone in /root), not where a socket's path would be too long, and not where a
# blank or a quote would have to survive three servers' configuration files.
fits_servers()
{
    ! is_root || return 1
    [ $((${#1} + ${#SOCKET_NAME})) -le $SOCKET_PATH_MAX ] || return 1
    case $1 in
    *[!A-Za-z0-9._/-]*) return 1 ;;
    esac
}

# Sets LINK (the name given to us) and D (where the data is); fails when there is nothing yet.
find_home()
{
    LINK=$(absolute "$1")
    [ -d "$LINK" ] || return 1
    D=$(readlink -f "$LINK")
}

absolute()
{
    case $1 in
    /*) printf '%s' "${1%/}" ;;
    *) printf '%s/%s' "$PWD" "${1%/}" ;;
    esac
}

make_home()
{
    LINK=$(absolute "$1")
    mkdir -p "$(dirname "$LINK")"
    if [ -L "$LINK" ] && [ ! -d "$LINK" ]; then
        rm -f "$LINK" # its folder under /var/tmp was cleaned away
    fi
    if [ ! -L "$LINK" ] && ! fits_servers "$(readlink -f "$(dirname "$LINK")")/$(basename "$LINK")"; then
        link_home
    fi
    mkdir -p "$LINK"
    D=$(readlink -f "$LINK")
    chmod 0700 "$D"
    local part
    for part in pids run logs secrets postgres rabbitmq epmd redis; do
        make_folder "$part"
    done
}

link_home()
{
    if [ -d "$LINK" ]; then
        rmdir "$LINK" 2>/dev/null || fail "$LINK is a folder with something in it; name a new one"
    fi
    D=$(mktemp -d /var/tmp/comanda-XXXXXX)
    if is_root; then
        id "$SERVER_USER" >/dev/null 2>&1 ||
            fail "root cannot run the servers and the user $SERVER_USER does not exist"
        chown "$SERVER_USER:" "$D"
    fi
    ln -s "$D" "$LINK"
}

# A folder below D, owned by the server's user.
make_folder()
{
    [ -d "$D/$1" ] || mkdir -m 0700 "$D/$1"
    if is_root; then
        chown "$SERVER_USER:" "$D/$1"
    fi
}
