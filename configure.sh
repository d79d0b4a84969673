#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Checks what Comanda needs to build, run and test; as root it installs what is missing from Debian.
set -eu

ROOT=$(cd "$(dirname "$0")" && pwd)
# An ordinary user's PATH lacks the folders of nginx, dpkg's helpers and policy-rc.d.
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
export PATH

PREFIX=/usr/local
NGINX_SOURCE=/usr/share/nginx/src
INSTALL=auto
LOCK_TIMEOUT_S=300
POLICY=/usr/sbin/policy-rc.d
CLUSTER_CONF=/etc/postgresql-common/createcluster.conf

# package, the oldest version that will do, what for
NEEDED='
gcc 4:12 compiler
make 4.3 build
pkgconf 1.8 build
libc6-dev 2.36 build
libpq-dev 15 PostgreSQL_client
librabbitmq-dev 0.11 RabbitMQ_client
libhiredis-dev 0.14 Redis_client
libcjson-dev 1.7.15 tests_of_JSON
libssl-dev 3.0 tokens_and_digests
libmicrohttpd-dev 0.9.75 probes_of_the_daemons
uthash-dev 2.3 tables
nginx 1.22.1 edge
nginx-dev 1.22.1 edge
postgresql-15 15 log_and_read_schema
rabbitmq-server 3.10 messages
redis-server 5:7 documents
curl 7.88 demo_and_tests
procps 2:4 demo_and_tests
util-linux 2.38 servers_as_another_user
python3 3.11 demo_and_tests
libcriterion-dev 2.4.1 tests
python3-pytest 7.2 tests
python3-pytest-timeout 2.1 tests
python3-pytest-xdist 3.1 tests
python3-psycopg2 2.9 tests
python3-pika 1.2 tests
python3-redis 4.3 tests
python3-requests 2.28 tests
python3-jwt 2.6 tests
python3-yaml 6.0 tests
valgrind 1:3.19 tests
faketime 0.9.10 tests
clang-format 1:14 lint
cppcheck 2.10 lint
shellcheck 0.9 lint
prometheus 2.42 tests_of_metrics
docker-compose 1.29 tests_of_deployment
wrk 4.1 bench
'

# Only with --with-fuzz: a second compiler is much for one target of make.
NEEDED_TO_FUZZ='
clang 1:14 make_fuzz
libclang-rt-14-dev 1:14 make_fuzz
'
WITH_FUZZ=

usage()
{
    cat <<TEXT
usage: ./configure.sh [options]

Checks each dependency and its version, and writes build/config.mk for make. As root it installs
what is missing from Debian 12; as an ordinary user it prints the command that does.

  --prefix=DIR              where make install puts everything (default $PREFIX)
  --with-nginx-source=DIR   nginx tree to build the modules against (default $NGINX_SOURCE,
                            Debian's): or upstream's from 1.22 on, in which nginx was made
  --with-fuzz               also what make fuzz needs: clang and its runtime
  --install                 install what is missing (the default when run as root)
  --no-install              only check
  --help                    this text

No system service is started: packages are installed behind a temporary $POLICY
(one that exists already is left alone) and without PostgreSQL's default cluster.
Exit code: 0 when all is there, 1 when something is missing, 2 when an option is wrong.
TEXT
}

fail()
{
    echo "configure.sh: $*" >&2
    exit 1
}

usage_error()
{
    echo "configure.sh: $*" >&2
    usage >&2
    exit 2
}

is_root()
{
    [ "$(id -u)" -eq 0 ]
}

read_options()
{
    while [ $# -gt 0 ]; do
        case $1 in
        --help | -h)
            usage
            exit 0
            ;;
        --prefix=*) PREFIX=${1#*=} ;;
        --with-nginx-source=*) NGINX_SOURCE=${1#*=} ;;
        --prefix | --with-nginx-source)
            [ $# -ge 2 ] || usage_error "$1 wants a folder"
            case $1 in
            --prefix) PREFIX=$2 ;;
            *) NGINX_SOURCE=$2 ;;
            esac
            shift
            ;;
        --with-fuzz)
            WITH_FUZZ=--with-fuzz
            NEEDED=$NEEDED$NEEDED_TO_FUZZ
            ;;
        --install) INSTALL=yes ;;
        --no-install) INSTALL=no ;;
        *) usage_error "unknown option $1" ;;
        esac
        shift
    done
    check_folder --prefix "$PREFIX"
    check_folder --with-nginx-source "$NGINX_SOURCE"
}

# The folder ends up in a makefile: an absolute path without what make or a shell would take apart.
check_folder()
{
    case $2 in
    *[!A-Za-z0-9._/+-]*) usage_error "$1: '$2' has a character that make cannot carry" ;;
    /*) ;;
    *) usage_error "$1: '$2' is not an absolute path" ;;
    esac
}

# Prints the missing or too old packages, one a line: package, wanted version, found version, use.
find_missing()
{
    # shellcheck disable=SC2046
    dpkg-query -W -f '${db:Status-Status} ${Package} ${Version}\n' $(package_names "$NEEDED") \
        2>/dev/null >"$SCRATCH/installed" || true
    echo "$NEEDED" | while read -r package wanted use; do
        [ -n "$package" ] || continue
        found=$(awk -v package="$package" '$1 == "installed" && $2 == package {print $3; exit}' \
            "$SCRATCH/installed")
        if [ -z "$found" ]; then
            echo "$package $wanted absent $use"
        elif ! dpkg --compare-versions "$found" ge "$wanted"; then
            echo "$package $wanted $found $use"
        fi
    done
}

package_names()
{
    echo "$1" | awk 'NF {print $1}'
}

say_missing()
{
    echo "missing or too old:"
    echo "$1" | while read -r package wanted found use; do
        echo "  $package (needs $wanted, found $found): $use" | tr _ ' '
    done
}

# The command that an administrator has to run, ready to be pasted.
say_command()
{
    if command -v sudo >/dev/null 2>&1; then
        echo "run this, then ./configure.sh again:"
        echo "  sudo $ROOT/configure.sh --install${WITH_FUZZ:+ $WITH_FUZZ}"
    else
        echo "run this as root, then ./configure.sh again:"
        echo "  su -c '$ROOT/configure.sh --install${WITH_FUZZ:+ $WITH_FUZZ}'"
    fi
}

check_system()
{
    command -v dpkg-query >/dev/null 2>&1 || {
        echo "configure.sh: this system has no dpkg; Comanda is built on Debian 12 and needs:" >&2
        package_names "$NEEDED" | sed 's/^/  /' >&2
        exit 1
    }
}

# What an installation has to undo, also when it is interrupted.
undo()
{
    if [ "${MADE_POLICY:-no}" = yes ]; then
        rm -f "$POLICY"
    fi
    if [ -n "${SAVED_CLUSTER_CONF:-}" ]; then
        cp -p "$SAVED_CLUSTER_CONF" "$CLUSTER_CONF"
    fi
    rm -rf "$SCRATCH"
}

# Packages start their services when they are installed, unless policy-rc.d says no.
forbid_services()
{
    if [ -e "$POLICY" ]; then
        echo "$POLICY exists and is left as it is"
        return
    fi
    MADE_POLICY=yes
    printf '#!/bin/sh\n# Temporary, by configure.sh of Comanda: start no service.\nexit 101\n' >"$POLICY"
    chmod 755 "$POLICY"
}

# PostgreSQL's package makes and starts a cluster of its own unless this file says no. An existing
# file gets the line only while we install, unless its owner has decided already.
forbid_cluster()
{
    if [ ! -e "$CLUSTER_CONF" ]; then
        mkdir -p "$(dirname "$CLUSTER_CONF")"
        echo "create_main_cluster = false" >"$CLUSTER_CONF"
    elif ! grep -q '^[[:space:]]*create_main_cluster' "$CLUSTER_CONF"; then
        cp -p "$CLUSTER_CONF" "$SCRATCH/createcluster.conf"
        SAVED_CLUSTER_CONF=$SCRATCH/createcluster.conf
        echo "create_main_cluster = false" >>"$CLUSTER_CONF"
    fi
}

install_packages()
{
    packages=$(package_names "$1" | tr '\n' ' ')
    echo "will run: apt-get update"
    echo "will run: apt-get install --no-install-recommends $packages"
    echo "no service will be started, no PostgreSQL cluster created"
    forbid_services
    forbid_cluster
    export DEBIAN_FRONTEND=noninteractive UCF_FORCE_CONFFOLD=1
    apt-get -q -o DPkg::Lock::Timeout=$LOCK_TIMEOUT_S update
    # shellcheck disable=SC2086
    apt-get -q -y -o DPkg::Lock::Timeout=$LOCK_TIMEOUT_S -o Dpkg::Options::=--force-confold \
        install --no-install-recommends $packages </dev/null
}

write_config()
{
    mkdir -p "$ROOT/build"
    {
        echo "# Written by configure.sh."
        echo "PREFIX ?= $PREFIX"
        echo "NGINX_SOURCE ?= $NGINX_SOURCE"
    } >"$SCRATCH/config.mk"
    # An unchanged file keeps its time.
    cmp -s "$SCRATCH/config.mk" "$ROOT/build/config.mk" ||
        cp "$SCRATCH/config.mk" "$ROOT/build/config.mk"
}

main()
{
    read_options "$@"
    check_system
    SCRATCH=$(mktemp -d)
    trap undo EXIT
    trap 'exit 1' HUP INT TERM

    missing=$(find_missing)
    if [ -n "$missing" ]; then
        say_missing "$missing"
        if [ "$INSTALL" = no ] || ! is_root; then
            say_command
            exit 1
        fi
        install_packages "$missing"
        missing=$(find_missing)
        if [ -n "$missing" ]; then
            say_missing "$missing"
            fail "this Debian does not offer them; Comanda needs Debian 12"
        fi
    fi
    "$ROOT/scripts/nginx_source_fits" "$NGINX_SOURCE"
    write_config
    echo "all dependencies are there; next: make, make check, make demo"
}

main "$@"
