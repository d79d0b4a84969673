-- The sandbox's provider and carrier answer a batch's plain calls by a few statements together: a
-- payment that nobody has asked for before, the capture of one that is authorized, a shipment that
-- is new. Everything else goes one by one, as in 0008.
-- Serves programs of 0017 and later.
--
-- What is found by keys is looked up by their indexes, whatever the tables' size was when a session
-- planned it.

-- Calls that stand alone in their batch, and whose key has no answer yet.
create function sandbox.alone(who text, ids text[], keys text[]) returns int4[]
language sql volatile set search_path = pg_catalog, pg_temp as $$
    select coalesce(array_agg(c.ordinal::int4 order by c.id), '{}')
    from (select u.*, count(*) over (partition by u.id) as of_id,
              count(*) over (partition by u.key) as of_key
          from unnest(ids, keys) with ordinality u (id, key, ordinal)) c
    -- As a scalar, which is looked up for each key: as a join it may read all of the party's answers.
    where c.of_id = 1 and c.of_key = 1 and (
        select a.outcome from sandbox.answers a where a.party = who and a.key = c.key) is null
$$;

create or replace function sandbox.perform_payments(asked text[], ids text[], keys text[],
    cards text[], sums int8[], units text[])
returns table (call int4, outcome text, code text, detail text, captured bool)
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
#variable_conflict use_column
declare
    plain int4[] := sandbox.alone('payment_provider', ids, keys);
    authorized int4[];
    captures int4[];
    one record;
    answer record;
begin
    with fresh as (
        select n as ordinal, ids[n] as id, keys[n] as key, cards[n] as card, sums[n] as sum,
            units[n] as unit
        from unnest(plain) n
        where asked[n] = 'authorize'
          and cards[n] not in ('tok_silent', 'tok_declined', 'tok_late')),
    made as (
        insert into sandbox.payments (payment, authorized, token, amount, currency)
        select f.id, true, f.card, f.sum, f.unit from fresh f order by f.id
        on conflict do nothing returning payment),
    won as materialized (
        select f.* from fresh f where f.id in (select m.payment from made m)),
    noted as (
        insert into sandbox.journal (party, key, operation, outcome)
        select 'payment_provider', w.key, 'authorize', 'done' from won w order by w.id),
    remembered as (
        insert into sandbox.answers (party, key, outcome, code, detail)
        select 'payment_provider', w.key, 'done', '', '' from won w order by w.key)
    select coalesce(array_agg(w.ordinal), '{}') into authorized from won w;

    -- Locked in the order of their ids, as everybody does who locks several.
    perform from sandbox.payments p
    where p.payment = any (array(select ids[n] from unnest(plain) n where asked[n] = 'capture'))
    order by p.payment for update;
    with due as (
        select n as ordinal, ids[n] as id, keys[n] as key, sums[n] as sum, units[n] as unit
        from unnest(plain) n where asked[n] = 'capture'),
    made as (
        update sandbox.payments p set captured = true from due d
        where p.payment = d.id and p.authorized and not p.undone and not p.captured
          and d.sum <= p.amount and d.unit = p.currency and p.token <> 'tok_capture_fails'
        returning d.ordinal, d.id, d.key),
    noted as (
        insert into sandbox.journal (party, key, operation, outcome)
        select 'payment_provider', m.key, 'capture', 'done' from made m order by m.id),
    remembered as (
        insert into sandbox.answers (party, key, outcome, code, detail)
        select 'payment_provider', m.key, 'done', '', '' from made m order by m.key)
    select coalesce(array_agg(m.ordinal), '{}') into captures from made m;

    return query
    select n, 'done', '', '', false from unnest(authorized || captures) n;
    for one in select c.* from unnest(asked, ids, keys, cards, sums, units) with ordinality
        c (asked, id, key, card, sum, unit, ordinal)
        where c.ordinal <> all (authorized || captures) order by c.id, c.ordinal
    loop
        select * into answer from sandbox.perform_payment(one.asked, one.id, one.key, one.card,
            one.sum, one.unit);
        call := one.ordinal;
        outcome := coalesce(answer.outcome, 'none');
        code := coalesce(answer.code, '');
        detail := coalesce(answer.detail, '');
        captured := answer.captured;
        return next;
    end loop;
end $$;

create or replace function sandbox.perform_shipments(asked text[], ids text[], keys text[],
    places text[])
returns table (call int4, outcome text, code text, detail text)
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
#variable_conflict use_column
declare
    plain int4[] := sandbox.alone('carrier', ids, keys);
    scheduled int4[];
    one record;
    answer record;
begin
    with fresh as (
        select n as ordinal, ids[n] as id, keys[n] as key from unnest(plain) n
        where asked[n] = 'schedule' and places[n] <> '00000-000'),
    made as (
        insert into sandbox.shipments (shipment, scheduled)
        select f.id, true from fresh f order by f.id
        on conflict do nothing returning shipment),
    won as materialized (
        select f.* from fresh f where f.id in (select m.shipment from made m)),
    noted as (
        insert into sandbox.journal (party, key, operation, outcome)
        select 'carrier', w.key, 'schedule', 'done' from won w order by w.id),
    remembered as (
        insert into sandbox.answers (party, key, outcome, code, detail)
        select 'carrier', w.key, 'done', '', '' from won w order by w.key)
    select coalesce(array_agg(w.ordinal), '{}') into scheduled from won w;

    return query select n, 'done', '', '' from unnest(scheduled) n;
    for one in select c.* from unnest(asked, ids, keys, places) with ordinality
        c (asked, id, key, place, ordinal)
        where c.ordinal <> all (scheduled) order by c.id, c.ordinal
    loop
        select * into answer
        from sandbox.perform_shipment(one.asked, one.id, one.key, one.place);
        call := one.ordinal;
        outcome := answer.outcome;
        code := answer.code;
        detail := answer.detail;
        return next;
    end loop;
end $$;

revoke all on function sandbox.alone(text, text[], text[]) from public;
