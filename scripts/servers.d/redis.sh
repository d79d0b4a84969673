# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# The private Redis: nothing on disk and a bounded memory, since its documents can be dropped at any
# time. Its users are those of DIR/redis/users.acl if the caller has put that there (the demo does, by
# `comandactl access redis`), read again at each start; else everybody may do everything.

redis_prepare()
{
    choose_ports redis
}

redis_launch()
{
    local users=()
    if [ -s "$D/redis/users.acl" ]; then
        users=(--aclfile "$D/redis/users.acl")
    fi
    launch redis /usr/bin/redis-server --port "$(port_of redis)" --bind 127.0.0.1 \
        --dir "$D/redis" --save '' --appendonly no --daemonize no \
        --maxmemory 256mb --maxmemory-policy allkeys-lru "${users[@]}"
}

redis_wait()
{
    wait_ready redis 20 redis_ready
}

redis_ready()
{
    (
        exec 3<>"/dev/tcp/127.0.0.1/$(port_of redis)"
        printf 'PING\r\n' >&3
        IFS= read -r -t 1 answer <&3
        [[ $answer == +PONG* || $answer == -NOAUTH* ]]
    )
}

redis_stop()
{
    end_server redis TERM 10
}

redis_kill()
{
    end_server redis KILL 10
    end_leftovers redis
}

redis_env()
{
    echo "COMANDA_TEST_REDIS='127.0.0.1:$(port_of redis)'"
    echo "COMANDA_TEST_REDIS_PORT='$(port_of redis)'"
}
