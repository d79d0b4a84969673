-- Reading the log. Plans are generic: planning a query over all partitions costs more than running
-- it, and a nested loop finds a stream's partition while it runs.

-- Streams with their newest usable snapshot (a row of kind 'snapshot', its state in `data`), then
-- the rows after it in version order, at most row_limit a stream.
create function comanda.read_streams(stream_ids uuid[], after_versions int4[],
    snapshot_versions int2[], row_limit int4)
returns table (ordinal int4, version int4, kind text, epoch int4, tx xid8, "position" int8,
    event_id uuid, tenant text, category text, type text, schema_version int2, data json,
    meta json, recorded_at timestamptz)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off as $$
#variable_conflict use_column
begin
    return query
    with asked as materialized (
        select q.ordinal::int4, q.id, coalesce(s.version, q.after) as after,
            s.version as snapshot_at, s.state
        from unnest(stream_ids, after_versions, snapshot_versions)
            with ordinality q (id, after, state_version, ordinal)
        left join comanda.snapshots s on s.stream_id = q.id and q.state_version > 0
            and s.state_version = q.state_version and s.version > q.after)
    select a.ordinal, a.snapshot_at, 'snapshot', null::int4, null::xid8, null::int8, null::uuid,
        null, null, null, null::int2, a.state, null::json, null::timestamptz
    from asked a where a.snapshot_at is not null
    union all
    select a.ordinal, e.version, e.kind, e.epoch, e.tx, e.position, e.event_id, e.tenant,
        e.category, e.type, e.schema_version, e.data, e.meta, e.recorded_at
    from asked a
    cross join lateral (
        select * from comanda.events e where e.stream_id = a.id and e.version > a.after
        order by e.version limit row_limit) e
    order by 1, 2;
end $$;

-- The settled tail after a cursor. One statement takes rows and horizon from one snapshot: a row
-- of a transaction that is still running when it begins, or that began later, is left for the next
-- call, so a cursor never steps over a row that commits late. Rows of an older epoch are settled.
create function comanda.read_tail(after_epoch int4, after_tx xid8, after_position int8,
    row_limit int4)
returns table (epoch int4, tx xid8, "position" int8, stream_id uuid, version int4, event_id uuid,
    tenant text, category text, kind text, type text, schema_version int2, data json, meta json,
    recorded_at timestamptz)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
set enable_seqscan = off set enable_bitmapscan = off set enable_sort = off as $$
#variable_conflict use_column
begin
    return query
    select e.epoch, e.tx, e.position, e.stream_id, e.version, e.event_id, e.tenant, e.category,
        e.kind, e.type, e.schema_version, e.data, e.meta, e.recorded_at
    from comanda.events e
    where (e.epoch, e.tx, e.position) > (after_epoch, after_tx, after_position)
      and (e.epoch, e.tx)
          < ((select l.epoch from comanda.log l), pg_snapshot_xmin(pg_current_snapshot()))
    order by e.epoch, e.tx, e.position
    limit row_limit;
end $$;

create function comanda.find_keys(ids uuid[])
returns table (id uuid, fingerprint uuid, stream_id uuid, version int4, status int2)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off as $$
#variable_conflict use_column
begin
    return query
    select k.id, k.fingerprint, k.stream_id, k.version, k.status
    from unnest(ids) q (id) join comanda.keys k on k.id = q.id;
end $$;

-- An older version never replaces a newer one; one version in another encoding does.
create function comanda.save_snapshots(stream_ids uuid[], versions int4[], state_versions int2[],
    states json[])
returns void language sql volatile security definer set search_path = pg_catalog, pg_temp as $$
    insert into comanda.snapshots as s (stream_id, version, state_version, state)
    select distinct on (q.stream_id) q.stream_id, q.version, q.state_version, q.state
    from unnest(stream_ids, versions, state_versions, states)
        q (stream_id, version, state_version, state)
    order by q.stream_id, q.version desc
    on conflict (stream_id) do update
    set version = excluded.version, state_version = excluded.state_version, state = excluded.state
    where excluded.version > s.version
       or (excluded.version = s.version and excluded.state_version <> s.state_version)
$$;

-- Claims due timers by moving them on. Call it as a transaction of its own: FOR UPDATE takes a
-- transaction id at once, and who claims has yet to load.
create function comanda.claim_timers(row_limit int4, claim_s int4)
returns table (id uuid, saga_id uuid, due timestamptz, tenant text, data json)
language sql volatile security definer set search_path = pg_catalog, pg_temp as $$
    with ready as (
        select t.id, t.due from comanda.timers t where t.due <= clock_timestamp()
        order by t.due limit row_limit for update skip locked)
    update comanda.timers t set due = clock_timestamp() + make_interval(secs => claim_s)
    from ready r where t.id = r.id
    returning t.id, t.saga_id, r.due, t.tenant, t.data
$$;

-- Seconds that the oldest transaction which holds readers back has been running; 0: none. Only
-- those with a transaction id count: readers alone hold nothing.
create function comanda.horizon_age_s() returns float8 language sql volatile security definer
set search_path = pg_catalog, pg_temp as $$
    select coalesce(extract(epoch from clock_timestamp() - least(
        (select min(a.xact_start) from pg_stat_activity a
         where a.backend_xid is not null and a.pid <> pg_backend_pid()),
        (select min(p.prepared) from pg_prepared_xacts p))), 0)::float8
$$;
