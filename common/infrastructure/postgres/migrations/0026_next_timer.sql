-- How long there is nothing to claim: until the earliest timer is due.
-- Serves programs of 0017 and later.

-- Milliseconds, longest_ms at most; what is due later is not looked at. From the floor on, as a claim.
create function comanda.timers_rest_ms(longest_ms int4) returns int4
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan set jit = off
set enable_seqscan = off set enable_bitmapscan = off as $$
declare
    low timestamptz := (select f.due from comanda.timers_floor f where f.one);
    now_ timestamptz := clock_timestamp();
    first timestamptz := (
        select t.due from comanda.timers t
        where t.due >= least(low, now_) and t.due <= now_ + make_interval(secs => longest_ms / 1000.0)
        order by t.due limit 1);
begin
    return case when first is null then longest_ms
        else greatest(0, ceil(extract(epoch from first - now_) * 1000))::int4 end;
end $$;

revoke execute on function comanda.timers_rest_ms(int4) from public;
grant execute on function comanda.timers_rest_ms(int4) to comanda_saga, comanda_operator;
