-- How long the log has waited for the relay: the age of the first row past its checkpoint, in whole
-- seconds. 0: none waits. NULL: no relay has ever led. What a probe of the edge asks.
create function comanda.relay_behind_s() returns int4
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
set jit = off set enable_seqscan = off set enable_bitmapscan = off set enable_sort = off as $$
declare
    at record;
begin
    select l.epoch, l.tx, l.position into at from comanda.leases l where l.name = 'relay';
    if not found then
        return null;
    end if;
    return coalesce((select greatest(0, extract(epoch from clock_timestamp() - e.recorded_at))::int4
        from comanda.events e
        where (e.epoch, e.tx, e.position) > (at.epoch, at.tx, at.position)
        order by e.epoch, e.tx, e.position
        limit 1), 0);
end $$;

revoke execute on function comanda.relay_behind_s() from public;
grant execute on function comanda.relay_behind_s() to comanda_runtime, comanda_readonly;
