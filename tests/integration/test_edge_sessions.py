# SPDX-License-Identifier: Apache-2.0
"""New sessions of the edge: they get ready before they serve, and no command meets a slow one."""
import pytest

from daemon import until
from edge import Edge, Shop, together

# A session's first call takes SECONDS, as planning does on a busy machine; and it may take no
# transaction id.
SLOW_FIRST_CALL = r"""
do $do$
declare
    real regprocedure := (select oid from pg_proc where proname = 'append'
                          and pronamespace = 'comanda'::regnamespace);
    definition text := pg_get_functiondef(real);
    args text := (select string_agg('$' || n, ', ') from generate_series(1, 37) n);
begin
    execute format('alter function %s rename to append_really', real);
    execute regexp_replace(definition, 'AS \$function\$.*$', format($f$as $wrapper$
begin
    return query select * from comanda.append_really(%s);
    if current_setting('test.called', true) is null then
        perform pg_sleep(SECONDS), set_config('test.called', 'yes', false);
        if pg_current_xact_id_if_assigned() is not null then
            raise exception 'the first call has written';
        end if;
    end if;
end $wrapper$$f$, args));
end $do$
"""


# Sessions that have been asked something.
BEGUN = """select pid from pg_stat_activity where application_name = 'comanda-edge'
    and datname = current_database() and query <> ''"""


def written(shop):
    return shop.database.rows("select (select count(*) from comanda.events),"
                              " (select count(*) from comanda.keys),"
                              " (select count(*) from comanda.inbox),"
                              " (select count(*) from comanda.timers),"
                              " (select last_value from comanda.event_position)")


def place_30(edge):
    return [answer.status for answer in together(lambda n: edge.place(), 30)]


def test_given_sessions_whose_first_call_is_slow_then_no_command_meets_it():
    shop = Shop()
    edge = Edge(shop, start=False)
    try:
        # A command that met it would be refused: it writes.
        shop.database.rows(SLOW_FIRST_CALL.replace("SECONDS", "0.5"))
        before = written(shop)
        edge.start()
        assert written(shop) == before, "getting ready writes nothing"
        assert place_30(edge) == [201] * 30
        assert place_30(edge) == [201] * 30
        assert "refused" not in edge.log()
        assert edge.metric("comanda_postgres_losses_total") == 0
    finally:
        edge.remove()
        shop.drop()


@pytest.mark.parametrize("how", ["sessions end", "reload"])
def test_given_new_sessions_that_get_ready_then_commands_wait_for_them(how):
    shop = Shop()
    edge = Edge(shop, start=False)
    try:
        shop.database.rows(SLOW_FIRST_CALL.replace("SECONDS", "1.5"))
        edge.start()
        old = {pid for pid, in shop.database.rows(BEGUN)}
        if how == "reload":
            edge.nginx("-s", "reload")
        else:
            lost = edge.metric("comanda_postgres_losses_total")
            shop.database.rows("select pg_terminate_backend(pid) from pg_stat_activity"
                               " where application_name = 'comanda-edge'"
                               " and datname = current_database()")
            until(lambda: edge.metric("comanda_postgres_losses_total") >= lost + edge.sessions,
                  "they are gone")
        # After a second without one, commands are refused instead.
        until(lambda: {pid for pid, in shop.database.rows(BEGUN)} - old, "a new one gets ready")
        assert place_30(edge) == [201] * 30
        assert "refused" not in edge.log()
    finally:
        edge.remove()
        shop.drop()
