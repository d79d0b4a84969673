-- The relay is woken by an append instead of looking every few milliseconds.
-- Serves programs of 0017 and later.
--
-- A sleeping relay holds a lock; whoever appends tries to share it until its commit. Who cannot sends
-- NOTIFY, which its commit delivers; who can keeps the relay from falling asleep meanwhile. So no row
-- is missed, and as long as the relay is awake nobody sends anything: NOTIFY makes commits wait for
-- each other.

-- Says that the relay sleeps, having read up to the cursor. NULL: it shall not, somebody is appending
-- or rows wait, settled or not. Else the last position that was given out, for the next call of a
-- session that sleeps already (seen; NULL: it does not): nothing new, nothing to look for. While any
-- transaction is under way, whose rows may hold positions from before, it gives -1: look again.
create function comanda.relay_sleep(after_epoch int4, after_tx xid8, after_position int8, seen int8)
returns int8 language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
set jit = off set enable_seqscan = off set enable_bitmapscan = off set enable_sort = off as $$
declare
    last int8;
    now_running pg_snapshot;
begin
    if seen is null and not pg_try_advisory_lock(hashtext('comanda.sleep'), hashtext('relay')) then
        return null;
    end if;
    -- Each statement has a snapshot of its own: what committed before the lock was ours is seen.
    select s.last_value, pg_current_snapshot() into last, now_running from comanda.event_position s;
    if last is distinct from seen and exists (
            select from comanda.events e
            where (e.epoch, e.tx, e.position) > (after_epoch, after_tx, after_position)) then
        perform pg_advisory_unlock(hashtext('comanda.sleep'), hashtext('relay'));
        return null;
    end if;
    return case when pg_snapshot_xmin(now_running) = pg_snapshot_xmax(now_running) then last else -1 end;
end $$;

-- Only for a session that sleeps.
create function comanda.relay_wake() returns bool language sql volatile
set search_path = pg_catalog, pg_temp as $$
    select pg_advisory_unlock(hashtext('comanda.sleep'), hashtext('relay'))
$$;

revoke execute on function comanda.relay_sleep(int4, xid8, int8, int8), comanda.relay_wake()
    from public;
grant execute on function comanda.relay_sleep(int4, xid8, int8, int8), comanda.relay_wake()
    to comanda_relay, comanda_operator;

-- As in 0013, but for the first statement.
create or replace function comanda.append(
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
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
set jit = off as $$
#variable_conflict use_column
declare
    warming bool := i_last is null;
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
    -- Held to the commit: while it is, the relay does not fall asleep.
    if cardinality(e_id) > 0 and not pg_try_advisory_xact_lock_shared(
            hashtext('comanda.sleep'), hashtext('relay')) then
        perform pg_notify('comanda_relay', '');
    end if;
    select l.epoch into this_epoch from comanda.log l;

    if cardinality(n_id) > 0 then
        with taken as (
            insert into comanda.inbox (consumer, message_id)
            select unnest(n_consumer), unnest(n_id)
            on conflict do nothing returning consumer, message_id)
        select coalesce(array_agg(t.consumer), '{}'), coalesce(array_agg(t.message_id), '{}')
        into took_consumer, took_message from taken t;
        if cardinality(took_message) < cardinality(n_id) then
            dead := comanda.append_handled(n_item, n_consumer, n_id, took_consumer, took_message);
        end if;
    end if;

    if cardinality(k_id) > 0 or warming then
        with taken as (
            insert into comanda.keys (id, fingerprint, stream_id, version, status)
            select k.id, k.fingerprint, k.stream, k.version, k.status
            from (select unnest(k_item) as item, unnest(k_id) as id,
                unnest(k_fingerprint) as fingerprint, unnest(k_stream) as stream,
                unnest(k_version) as version, unnest(k_status) as status) k
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

    if 0 < any (s_expected) or true = any (s_several) or warming then
        dead := dead || comanda.append_behind(s_item, s_id, s_expected, s_several, dead);
    end if;

    if head_count > 0 or warming then
        insert into comanda.events (position, epoch, version, stream_id, event_id, schema_version,
            tenant, category, kind, type, data, meta)
        select e.position, this_epoch, e.version, e.stream, e.id, e.schema, e.tenant, e.category,
            e.kind, e.type, e.data, e.meta
        from (select unnest(positions) as position, unnest(e_item) as item,
            unnest(e_head) as head, unnest(e_stream) as stream, unnest(e_version) as version,
            unnest(e_id) as id, unnest(e_schema) as schema, unnest(e_tenant) as tenant,
            unnest(e_category) as category, unnest(e_kind) as kind, unnest(e_type) as type,
            unnest(e_data) as data, unnest(e_meta) as meta) e
        where e.head and e.item <> all (dead)
        on conflict do nothing;
        get diagnostics inserted = row_count;
        if inserted < head_count or warming then
            dead := dead || comanda.append_lost(positions, e_item, e_head, e_stream, e_version,
                dead);
        end if;
        if cardinality(e_id) > head_count or warming then
            insert into comanda.events (position, epoch, version, stream_id, event_id,
                schema_version, tenant, category, kind, type, data, meta)
            select e.position, this_epoch, e.version, e.stream, e.id, e.schema, e.tenant,
                e.category, e.kind, e.type, e.data, e.meta
            from (select unnest(positions) as position, unnest(e_item) as item,
                unnest(e_head) as head, unnest(e_stream) as stream, unnest(e_version) as version,
                unnest(e_id) as id, unnest(e_schema) as schema, unnest(e_tenant) as tenant,
                unnest(e_category) as category, unnest(e_kind) as kind, unnest(e_type) as type,
                unnest(e_data) as data, unnest(e_meta) as meta) e
            where not e.head and e.item <> all (dead);
        end if;
    end if;

    if cardinality(t_id) > 0 then
        insert into comanda.timers (id, saga_id, due, tenant, data)
        select t.id, t.saga, t.due, t.tenant, t.data
        from (select unnest(t_item) as item, unnest(t_id) as id, unnest(t_saga) as saga,
            unnest(t_due) as due, unnest(t_tenant) as tenant, unnest(t_data) as data) t
        where t.item <> all (dead)
        on conflict do nothing;
    end if;
    if cardinality(d_id) > 0 then
        perform comanda.delete_timers(array(
            select d.id from unnest(d_item, d_id) d (item, id) where d.item <> all (dead)));
    end if;

    if cardinality(dead) = 0 then
        return query
        select i.item, 0::int2, this_epoch, pg_current_xact_id(), positions[i.last],
            null::int4, null::int4, null::uuid, null::int4, null::int2, null::bool[]
        from (select generate_series(0, cardinality(i_last) - 1) as item, unnest(i_last) as last) i;
        if not warming then
            return;
        end if;
    end if;
    perform comanda.append_take_back(dead, n_item, n_consumer, n_id, took_consumer, took_message,
        k_item, k_id, k_stream, took_key, took_key_stream);
    return query select * from comanda.append_verdicts(i_last, this_epoch, dead, positions,
        n_item, n_index, n_consumer, n_id, k_item, k_id, k_fingerprint, s_item, s_index, s_id,
        s_expected);
end $$;
