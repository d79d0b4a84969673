# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# The private RabbitMQ 3.10 with its management plugin, and the epmd that only it uses.

rabbitmq_prepare()
{
    choose_ports rabbitmq rabbitmq_http rabbitmq_metrics rabbitmq_distribution epmd
    rabbitmq_write_files
}

rabbitmq_launch()
{
    local home=$D/rabbitmq
    launch epmd /usr/bin/epmd -port "$(port_of epmd)" -address 127.0.0.1
    wait_ready epmd 10 rabbitmq_epmd_ready || return 1
    # RUNNING_UNDER_SYSTEMD makes Debian's script exec, so that the pid is the server's own.
    launch rabbitmq env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME="$home/home" LC_ALL=C.UTF-8 \
        RUNNING_UNDER_SYSTEMD=1 \
        ERL_EPMD_PORT="$(port_of epmd)" ERL_EPMD_ADDRESS=127.0.0.1 \
        RABBITMQ_NODENAME=comanda@localhost \
        RABBITMQ_NODE_IP_ADDRESS=127.0.0.1 RABBITMQ_NODE_PORT="$(port_of rabbitmq)" \
        RABBITMQ_DIST_PORT="$(port_of rabbitmq_distribution)" \
        RABBITMQ_CONF_ENV_FILE="$home/none" RABBITMQ_CONFIG_FILE="$home/rabbitmq.conf" \
        RABBITMQ_ADVANCED_CONFIG_FILE="$home/advanced.config" \
        RABBITMQ_ENABLED_PLUGINS_FILE="$home/enabled_plugins" \
        RABBITMQ_MNESIA_BASE="$home" RABBITMQ_LOG_BASE="$home/log" RABBITMQ_PID_FILE="$home/pid" \
        RABBITMQ_GENERATED_CONFIG_DIR="$home/config" \
        RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS="-kernel inet_dist_use_interface {127,0,0,1} -start_epmd false +S 2:2 +sbwt none" \
        /usr/lib/rabbitmq/bin/rabbitmq-server
}

rabbitmq_wait()
{
    wait_ready rabbitmq 120 rabbitmq_ready
}

rabbitmq_write_files()
{
    make_folder rabbitmq/home
    make_folder rabbitmq/log
    # Erlang rewrites nothing here, but insists that nobody else can read it.
    secret erlang_cookie | write_private "$D/rabbitmq/home/.erlang.cookie"
    chmod 0400 "$D/rabbitmq/home/.erlang.cookie"
    echo '[rabbitmq_management,rabbitmq_prometheus].' | write_private "$D/rabbitmq/enabled_plugins"
    echo '[].' | write_private "$D/rabbitmq/advanced.config"
    write_private "$D/rabbitmq/rabbitmq.conf" <<CONF
listeners.tcp.1 = 127.0.0.1:$(port_of rabbitmq)
log.file.level = warning
loopback_users = none
default_user = comanda
default_pass = $(secret rabbitmq)
default_user_tags.administrator = true
disk_free_limit.absolute = 50MB
vm_memory_high_watermark.absolute = 512MB
collect_statistics_interval = 1000
management.tcp.ip = 127.0.0.1
management.tcp.port = $(port_of rabbitmq_http)
prometheus.tcp.ip = 127.0.0.1
prometheus.tcp.port = $(port_of rabbitmq_metrics)
CONF
}

rabbitmq_epmd_ready()
{
    (exec 3<>"/dev/tcp/127.0.0.1/$(port_of epmd)")
}

# AMQP answers, and so does the management API, which starts a little later.
rabbitmq_ready()
{
    (
        exec 3<>"/dev/tcp/127.0.0.1/$(port_of rabbitmq)"
        printf 'AMQP\0\0\011\001' >&3
        IFS= read -r -n 1 -t 2 -d '' <&3
    ) && (
        exec 3<>"/dev/tcp/127.0.0.1/$(port_of rabbitmq_http)"
        printf 'GET / HTTP/1.0\r\n\r\n' >&3
        IFS= read -r -t 2 answer <&3
        [[ $answer == HTTP/* ]]
    )
}

rabbitmq_stop()
{
    end_server rabbitmq TERM 60
    end_leftovers rabbitmq
    end_server epmd TERM 5
}

rabbitmq_kill()
{
    end_server rabbitmq KILL 5
    end_leftovers rabbitmq
    end_server epmd KILL 5
}

rabbitmq_env()
{
    local user port http
    user=comanda:$(secret rabbitmq)
    port=$(port_of rabbitmq)
    http=$(port_of rabbitmq_http)
    cat <<ENV
COMANDA_TEST_AMQP='amqp://$user@127.0.0.1:$port/%2f'
COMANDA_TEST_AMQP_HTTP='http://$user@127.0.0.1:$http'
COMANDA_TEST_AMQP_HOST='127.0.0.1'
COMANDA_TEST_AMQP_PORT='$port'
COMANDA_TEST_AMQP_USER='comanda'
COMANDA_TEST_AMQP_PASSWORD='$(secret rabbitmq)'
COMANDA_TEST_AMQP_METRICS='http://127.0.0.1:$(port_of rabbitmq_metrics)/metrics'
ENV
}
