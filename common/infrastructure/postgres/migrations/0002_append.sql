-- comanda.append: what commits together, for a whole batch, in one call and one transaction.
--
-- Arrays come sorted as the locks need it: inbox ids by (consumer, id, item), keys by (id, item),
-- events by (stream, version) with every stream's first event (e_head) before the rest. Rows are
-- inserted in array order; two batches that overlap then wait for each other in one direction.
-- i_last holds, for each item, where its last event stands among the events (from 1; 0: it has
-- none). s_… are the streams of items that have events. `dead` are the items that do not append.
--
-- A statement cannot see rows that it conflicted with, so what was lost is read by a new one. The
-- usual batch, in which nothing is lost, skips those; they are functions of their own, so that only
-- they pay for keeping the planner to index lookups, whatever the tables' size was when a session
-- planned them. No loop, no EXCEPTION block.

-- Items whose message, or a twin's, was taken before.
create function comanda.append_handled(n_item int4[], n_consumer text[], n_id uuid[],
    took_consumer text[], took_message uuid[]) returns int4[]
language sql volatile set search_path = pg_catalog, pg_temp as $$
    -- Of twins in one batch the first took the row.
    select coalesce(array_agg(distinct n.item), '{}')
    from (select u.*, min(u.item) over (partition by u.consumer, u.id) as first
          from unnest(n_item, n_consumer, n_id) u (item, consumer, id)) n
    where n.item <> n.first or (n.consumer, n.id) not in (
        select t.consumer, t.id from unnest(took_consumer, took_message) t (consumer, id))
$$;

-- Items with a stream that is not where they expect it. A version that exists stays, so its
-- existence may be asked before; that nobody takes the next one is what the insert says. Items of
-- several streams are compared whole, before any of their rows is written.
create function comanda.append_behind(s_item int4[], s_id uuid[], s_expected int4[],
    s_several bool[], dead int4[]) returns int4[]
language plpgsql volatile set search_path = pg_catalog, pg_temp
set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off as $$
begin
    return array(
        select distinct s.item
        from unnest(s_item, s_id, s_expected, s_several) s (item, id, expected, several)
        where s.item <> all (dead) and (
            (s.expected > 0 and not exists (
                select from comanda.events e
                where e.stream_id = s.id and e.version = s.expected))
            or (s.several and exists (
                select from comanda.events e
                where e.stream_id = s.id and e.version = s.expected + 1))));
end $$;

-- Items that lost the race for the next version of a stream. Won is what stands there with our
-- position. One that won another stream meanwhile cannot be taken back: the call is.
create function comanda.append_lost(positions int8[], e_item int4[], e_head bool[],
    e_stream uuid[], e_version int4[], dead int4[]) returns int4[]
language plpgsql volatile set search_path = pg_catalog, pg_temp
set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off as $$
declare
    lost int4[];
    won int4[];
begin
    select coalesce(array_agg(distinct e.item) filter (where x.position is null), '{}'),
        coalesce(array_agg(distinct e.item) filter (where x.position is not null), '{}')
    into lost, won
    from unnest(positions, e_item, e_head, e_stream, e_version)
        e (position, item, head, stream, version)
    left join comanda.events x on x.stream_id = e.stream and x.version = e.version
        and x.position = e.position
    where e.head and e.item <> all (dead);
    if lost && won then
        raise exception 'an item of several streams lost one of them in a race'
            using errcode = 'CM001', hint = 'Append again in smaller batches.';
    end if;
    return lost;
end $$;

-- Frees the keys and messages that dead items took.
create function comanda.append_take_back(dead int4[], n_item int4[], n_consumer text[],
    n_id uuid[], took_consumer text[], took_message uuid[], k_item int4[], k_id uuid[],
    k_stream uuid[], took_key uuid[], took_key_stream uuid[]) returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp
set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off as $$
begin
    delete from comanda.keys r
    using unnest(k_item, k_id, k_stream) k (item, id, stream)
    where k.item = any (dead) and r.id = k.id and r.stream_id = k.stream
      and (k.id, k.stream) in (
          select t.id, t.stream from unnest(took_key, took_key_stream) t (id, stream));
    delete from comanda.inbox b
    using (select u.*, min(u.item) over (partition by u.consumer, u.id) as first
           from unnest(n_item, n_consumer, n_id) u (item, consumer, id)) n
    where n.item = any (dead) and n.item = n.first
      and b.consumer = n.consumer and b.message_id = n.id
      and (n.consumer, n.id) in (
          select t.consumer, t.id from unnest(took_consumer, took_message) t (consumer, id));
end $$;

-- What became of each item of a batch in which some did not append; their keys and inbox rows are
-- taken back already, so what a new statement finds is somebody else's, or a twin's that appended.
-- Codes: 0 appended, 1 version conflict, 2 duplicate, 3 key reused, 4 already handled, 5 try again.
create function comanda.append_verdicts(
    i_last int4[], this_epoch int4, dead int4[], positions int8[],
    n_item int4[], n_index int4[], n_consumer text[], n_id uuid[],
    k_item int4[], k_id uuid[], k_fingerprint uuid[],
    s_item int4[], s_index int4[], s_id uuid[], s_expected int4[])
returns table (item int4, outcome int2, at_epoch int4, at_tx xid8, at_position int8,
    conflict_stream int4, conflict_version int4, key_stream uuid, key_version int4,
    key_status int2, handled bool[])
language plpgsql volatile set search_path = pg_catalog, pg_temp
set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off as $$
#variable_conflict use_column
begin
    return query
    with items as materialized (
        select (u.ordinal - 1)::int4 as item, u.last, (u.ordinal - 1)::int4 <> all (dead) as alive
        from unnest(i_last) with ordinality u (last, ordinal)),
    flags as materialized (
        select n.item, array_agg(b.message_id is not null order by n.index) as handled,
            bool_or(b.message_id is not null) as any_handled
        from unnest(n_item, n_index, n_consumer, n_id) n (item, index, consumer, id)
        left join comanda.inbox b on b.consumer = n.consumer and b.message_id = n.id
        where n.item = any (dead) group by n.item),
    answers as materialized (
        select k.item, r.stream_id, r.version, r.status, r.fingerprint = k.fingerprint as same
        from unnest(k_item, k_id, k_fingerprint) k (item, id, fingerprint)
        join comanda.keys r on r.id = k.id
        where k.item = any (dead)),
    conflicts as materialized (
        select distinct on (s.item) s.item, s.index, h.version
        from unnest(s_item, s_index, s_id, s_expected) s (item, index, id, expected)
        cross join lateral (select coalesce(max(e.version), 0) as version from comanda.events e
                            where e.stream_id = s.id) h
        where s.item = any (dead) and h.version <> s.expected
        order by s.item, s.index)
    select i.item,
        (case when i.alive then 0
              when f.any_handled then 4
              when a.same then 2
              when not a.same then 3
              when c.item is not null then 1
              else 5 end)::int2,
        case when i.alive then this_epoch end,
        case when i.alive then pg_current_xact_id() end,
        case when i.alive then positions[i.last] end,
        c.index, c.version, a.stream_id, a.version, a.status, f.handled
    from items i
    left join flags f on f.item = i.item
    left join answers a on a.item = i.item
    left join conflicts c on c.item = i.item;
end $$;

create function comanda.append(
    i_last int4[], head_count int4,
    n_item int4[], n_index int4[], n_consumer text[], n_id uuid[],
    k_item int4[], k_id uuid[], k_fingerprint uuid[], k_stream uuid[], k_version int4[],
    k_status int2[],
    s_item int4[], s_index int4[], s_id uuid[], s_expected int4[], s_several bool[],
    e_item int4[], e_head bool[], e_stream uuid[], e_version int4[], e_id uuid[], e_schema int2[],
    e_tenant text[], e_category text[], e_kind text[], e_type text[], e_data json[], e_meta json[],
    t_item int4[], t_id uuid[], t_saga uuid[], t_due timestamptz[], t_tenant text[], t_data json[],
    d_item int4[], d_id uuid[])
returns table (item int4, outcome int2, at_epoch int4, at_tx xid8, at_position int8,
    conflict_stream int4, conflict_version int4, key_stream uuid, key_version int4,
    key_status int2, handled bool[])
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan as $$
#variable_conflict use_column
declare
    this_epoch int4;
    dead int4[] := '{}';
    took_consumer text[];
    took_message uuid[];
    took_key uuid[];
    took_key_stream uuid[];
    positions int8[] := array(
        select nextval('comanda.event_position') from generate_series(1, cardinality(e_id)));
    inserted int4;
begin
    select l.epoch into this_epoch from comanda.log l;

    if cardinality(n_id) > 0 then
        with taken as (
            insert into comanda.inbox (consumer, message_id)
            select n.consumer, n.id from unnest(n_consumer, n_id) n (consumer, id)
            on conflict do nothing returning consumer, message_id)
        select coalesce(array_agg(t.consumer), '{}'), coalesce(array_agg(t.message_id), '{}')
        into took_consumer, took_message from taken t;
        if cardinality(took_message) < cardinality(n_id) then
            dead := comanda.append_handled(n_item, n_consumer, n_id, took_consumer, took_message);
        end if;
    end if;

    if cardinality(k_id) > 0 then
        with taken as (
            insert into comanda.keys (id, fingerprint, stream_id, version, status)
            select k.id, k.fingerprint, k.stream, k.version, k.status
            from unnest(k_item, k_id, k_fingerprint, k_stream, k_version, k_status)
                k (item, id, fingerprint, stream, version, status)
            where k.item <> all (dead)
            on conflict do nothing returning id, stream_id)
        select coalesce(array_agg(t.id), '{}'), coalesce(array_agg(t.stream_id), '{}')
        into took_key, took_key_stream from taken t;
        if cardinality(took_key) < cardinality(k_id) then
            -- An item owns its key only if the row carries its stream: twins have the same key.
            dead := dead || array(
                select k.item from unnest(k_item, k_id, k_stream) k (item, id, stream)
                where k.item <> all (dead) and (k.id, k.stream) not in (
                    select t.id, t.stream from unnest(took_key, took_key_stream) t (id, stream)));
        end if;
    end if;

    if 0 < any (s_expected) or true = any (s_several) then
        dead := dead || comanda.append_behind(s_item, s_id, s_expected, s_several, dead);
    end if;

    if head_count > 0 then
        insert into comanda.events (position, epoch, version, stream_id, event_id, schema_version,
            tenant, category, kind, type, data, meta)
        select e.position, this_epoch, e.version, e.stream, e.id, e.schema, e.tenant, e.category,
            e.kind, e.type, e.data, e.meta
        from unnest(positions, e_item, e_head, e_stream, e_version, e_id, e_schema, e_tenant,
            e_category, e_kind, e_type, e_data, e_meta)
            e (position, item, head, stream, version, id, schema, tenant, category, kind, type,
               data, meta)
        where e.head and e.item <> all (dead)
        on conflict do nothing;
        get diagnostics inserted = row_count;
        if inserted < head_count then
            dead := dead || comanda.append_lost(positions, e_item, e_head, e_stream, e_version,
                dead);
        end if;
        if cardinality(e_id) > head_count then
            insert into comanda.events (position, epoch, version, stream_id, event_id,
                schema_version, tenant, category, kind, type, data, meta)
            select e.position, this_epoch, e.version, e.stream, e.id, e.schema, e.tenant,
                e.category, e.kind, e.type, e.data, e.meta
            from unnest(positions, e_item, e_head, e_stream, e_version, e_id, e_schema, e_tenant,
                e_category, e_kind, e_type, e_data, e_meta)
                e (position, item, head, stream, version, id, schema, tenant, category, kind, type,
                   data, meta)
            where not e.head and e.item <> all (dead);
        end if;
    end if;

    if cardinality(t_id) > 0 then
        insert into comanda.timers (id, saga_id, due, tenant, data)
        select t.id, t.saga, t.due, t.tenant, t.data
        from unnest(t_item, t_id, t_saga, t_due, t_tenant, t_data)
            t (item, id, saga, due, tenant, data)
        where t.item <> all (dead)
        on conflict do nothing;
    end if;
    if cardinality(d_id) > 0 then
        perform comanda.delete_timers(array(
            select d.id from unnest(d_item, d_id) d (item, id) where d.item <> all (dead)));
    end if;

    if cardinality(dead) = 0 then
        return query
        select (i.ordinal - 1)::int4, 0::int2, this_epoch, pg_current_xact_id(), positions[i.last],
            null::int4, null::int4, null::uuid, null::int4, null::int2, null::bool[]
        from unnest(i_last) with ordinality i (last, ordinal);
        return;
    end if;
    perform comanda.append_take_back(dead, n_item, n_consumer, n_id, took_consumer, took_message,
        k_item, k_id, k_stream, took_key, took_key_stream);
    return query select * from comanda.append_verdicts(i_last, this_epoch, dead, positions,
        n_item, n_index, n_consumer, n_id, k_item, k_id, k_fingerprint, s_item, s_index, s_id,
        s_expected);
end $$;

-- Locked in id order first: whoever claims or deletes them too waits in one direction.
create function comanda.delete_timers(ids uuid[]) returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp
set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off as $$
begin
    perform from comanda.timers t where t.id = any (ids) order by t.id for update;
    delete from comanda.timers t where t.id = any (ids);
end $$;
