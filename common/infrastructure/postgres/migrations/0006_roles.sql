-- A role for each process, with the least it needs. Roles belong to the whole cluster, and two
-- databases may be migrated at once: what another session is just making is tried again, and what
-- stands already is not written again. Passwords are none of a migration's business.
do $$
declare
    want record;
    setting text;
    tries int4 := 0;
begin
    loop
        begin
            for want in select * from (values
                ('comanda_runtime', false, null), ('comanda_edge', true, '2s'),
                ('comanda_relay', true, '10s'), ('comanda_saga', true, '10s'),
                ('comanda_payment', true, '10s'), ('comanda_inventory', true, '10s'),
                ('comanda_shipping', true, '10s'), ('comanda_projector', true, '30s'),
                ('comanda_readonly', true, '60s'), ('comanda_operator', true, '5min'))
                w (role, login, statement_timeout)
            loop
                if to_regrole(want.role) is null then
                    execute format('create role %I %s', want.role,
                        case when want.login then 'login' else 'nologin' end);
                end if;
                continue when want.statement_timeout is null;
                foreach setting in array array['statement_timeout=' || want.statement_timeout,
                    'lock_timeout=' || case want.role when 'comanda_edge' then '1s' else '3s' end,
                    'idle_in_transaction_session_timeout=10s'] loop
                    continue when exists (select from pg_db_role_setting s
                        where s.setrole = to_regrole(want.role) and s.setdatabase = 0
                        and setting = any (s.setconfig));
                    execute format('alter role %I set %s = %L', want.role,
                        split_part(setting, '=', 1), split_part(setting, '=', 2));
                end loop;
                if want.role in ('comanda_relay', 'comanda_operator') and not pg_has_role(
                    want.role, 'pg_read_all_stats', 'member') then
                    execute format('grant pg_read_all_stats to %I', want.role);
                end if;
                if want.role not in ('comanda_readonly', 'comanda_runtime') and not pg_has_role(
                    want.role, 'comanda_runtime', 'member') then
                    execute format('grant comanda_runtime to %I', want.role);
                end if;
            end loop;
            return;
        exception
            -- internal_error is "tuple concurrently updated", of the shared catalogues.
            when duplicate_object or unique_violation or internal_error then
                tries := tries + 1;
                if tries >= 50 then
                    raise;
                end if;
                perform pg_sleep(0.02 * random());
        end;
    end loop;
end $$;

revoke all on schema comanda, comanda_read, sandbox from public;
revoke all on all functions in schema comanda, comanda_read, sandbox from public;
revoke all on all tables in schema comanda, comanda_read, sandbox from public;

grant usage on schema comanda, comanda_read to comanda_runtime, comanda_readonly;
grant usage on schema sandbox to comanda_payment, comanda_shipping, comanda_readonly,
    comanda_operator;

-- Every process: is this the schema I was built for; how the log stands.
grant select on comanda.migrations to comanda_runtime, comanda_readonly;
grant execute on function comanda.partition_months(), comanda.horizon_age_s(),
    comanda.backlog(text, int8) to comanda_runtime, comanda_readonly;

do $$
declare
    append text := (select p.oid::regprocedure from pg_proc p
        where p.pronamespace = 'comanda'::regnamespace and p.proname = 'append');
begin
    execute 'grant execute on function ' || append || ' to comanda_edge, comanda_saga,'
        ' comanda_payment, comanda_inventory, comanda_shipping, comanda_operator';
end $$;
grant execute on function comanda.read_streams(uuid[], int4[], int2[], int4)
    to comanda_edge, comanda_saga, comanda_payment, comanda_inventory, comanda_shipping,
    comanda_projector, comanda_operator;
grant execute on function comanda.save_snapshots(uuid[], int4[], int2[], json[])
    to comanda_saga, comanda_payment, comanda_inventory, comanda_shipping, comanda_operator;
grant execute on function comanda.find_keys(uuid[]) to comanda_edge, comanda_operator;
grant execute on function comanda.claim_timers(int4, int4) to comanda_saga, comanda_operator;
grant execute on function comanda.read_tail(int4, xid8, int8, int4)
    to comanda_relay, comanda_projector, comanda_operator;
grant execute on function comanda.keep_partitions(int4, interval, interval)
    to comanda_relay, comanda_operator;
grant execute on function comanda.lease_acquire(text, text), comanda.lease_renew(text, int8),
    comanda.lease_checkpoint(text, int8, int4, xid8, int8), comanda.lease_release(text, int8),
    comanda.lease_is_stale(text, int4), comanda.lease_end_stale(text, int4),
    comanda.lease_backend(text) to comanda_relay, comanda_operator;

grant select on comanda_read.documents to comanda_runtime, comanda_readonly;
grant select, insert, update, delete on comanda_read.documents, comanda_read.cache_debt
    to comanda_projector, comanda_operator;

grant select on comanda.events, comanda.outbox, comanda.leases, comanda.timers, comanda.log,
    comanda.snapshots to comanda_operator;
grant select on comanda.events, comanda.outbox to comanda_readonly;
grant select, insert on sandbox.journal to comanda_payment, comanda_shipping;
grant select on sandbox.journal to comanda_readonly, comanda_operator;
