-- Alarms that work under load: what sagas lack, at a bounded cost, and who holds the readers back.
-- Serves programs of 0017 and later.

-- Nearly every timer is of a first attempt, and not in it.
create index timers_asked_again on comanda.timers (id) where (data ->> 'attempt') <> '1';

-- How far a definition's start events have been looked at. reached: all that was recorded before has
-- been. due_at: nobody looks before, so that of many processes one does.
create table comanda.saga_watch (
    saga text collate "C" primary key,
    epoch int4 not null,
    tx xid8 not null,
    position int8 not null,
    reached timestamptz not null,
    looked_at timestamptz not null default '-infinity',
    due_at timestamptz not null default '-infinity'
);

-- Start events behind that cursor whose saga had not begun. Few, or the cursor stands still.
create table comanda.saga_missing (
    saga text collate "C" not null,
    recorded_at timestamptz not null,
    stream_id uuid not null,
    version int4 not null,
    instance uuid not null, -- the stream that is not there
    primary key (saga, stream_id, version)
);

-- One row: a look at the parked that goes round, and what the last whole round has found.
create table comanda.saga_parked (
    one bool primary key default true check (one),
    after uuid not null default '00000000-0000-0000-0000-000000000000',
    counted int8 not null default 0,
    parked int8 not null default 0,
    looked_at timestamptz not null default '-infinity',
    due_at timestamptz not null default '-infinity'
);
insert into comanda.saga_parked default values;

-- Seconds since a look; NULL: there was none.
create function comanda.age_s(looked_at timestamptz) returns int4 language sql volatile
set search_path = pg_catalog, pg_temp as $$
    select extract(epoch from clock_timestamp() - nullif(looked_at, '-infinity'))::int4
$$;

-- A place in the log before all that was recorded at a moment or later, but not by much. Halving over
-- transaction ids: their order is nearly that of recorded_at, which is when a transaction began.
-- before: what a transaction may last.
create function comanda.log_at(moment timestamptz, before interval default '10 minutes')
returns table (epoch int4, tx xid8, "position" int8)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off
set enable_seqscan = off set enable_bitmapscan = off set enable_sort = off as $$
#variable_conflict use_column
declare
    in_epoch int4 := (select l.epoch from comanda.log l);
    low int8 := 0;
    high int8;
    middle int8;
    at timestamptz;
begin
    -- The epoch that the moment lies in: the newest that began before it.
    loop
        select e.recorded_at into at from comanda.events e
        where (e.epoch, e.tx, e.position) > (in_epoch, '0'::xid8, -1)
        order by e.epoch, e.tx, e.position limit 1;
        exit when at < moment - before;
        select e.epoch into in_epoch from comanda.events e
        where (e.epoch, e.tx, e.position) < (in_epoch, '0'::xid8, -1)
        order by e.epoch desc, e.tx desc, e.position desc limit 1;
        if not found then
            return query select 0, '0'::xid8, 0::int8;
            return;
        end if;
    end loop;
    select e.tx::text::int8 into high from comanda.events e
    where (e.epoch, e.tx, e.position) < (in_epoch + 1, '0'::xid8, -1)
    order by e.epoch desc, e.tx desc, e.position desc limit 1;
    while low < high loop
        middle := low + (high - low + 1) / 2;
        select e.recorded_at into at from comanda.events e
        where (e.epoch, e.tx, e.position) > (in_epoch, middle::text::xid8, -1)
          and (e.epoch, e.tx, e.position) < (in_epoch + 1, '0'::xid8, -1)
        order by e.epoch, e.tx, e.position limit 1;
        if at < moment - before then
            low := middle;
        else
            high := middle - 1;
        end if;
    end loop;
    return query select in_epoch, low::text::xid8, 9223372036854775807;
end $$;

-- Walks on from a place of the log, at most row_limit rows: how far it came, and the start events on
-- its way that are older than older_than and whose saga is not there. It ends before the first row
-- that is younger, unless it is to go past the young.
create function comanda.sagas_unstarted(role text, of_categories text[], of_types text[],
    older_than interval, past_young bool, from_epoch int4, from_tx xid8, from_position int8,
    row_limit int4)
returns table (epoch int4, tx xid8, "position" int8, reached timestamptz, walked int4,
    streams uuid[], versions int4[], recorded timestamptz[], instances uuid[])
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off
set enable_seqscan = off set enable_bitmapscan = off set enable_sort = off
set enable_hashjoin = off set enable_mergejoin = off as $$
#variable_conflict use_column
declare
    old timestamptz := clock_timestamp() - older_than;
    wanted text[] := array(select c || '.' || t from unnest(of_categories, of_types) w (c, t));
    at record;
    some_streams uuid[] := '{}';
    some_versions int4[] := '{}';
    some_recorded timestamptz[] := '{}';
begin
    epoch := from_epoch;
    tx := from_tx;
    position := from_position;
    walked := 0;
    for at in
        select e.epoch, e.tx, e.position, e.recorded_at, e.stream_id, e.version,
            e.kind = 'event' and e.category || '.' || e.type = any (wanted) as starts
        from comanda.events e
        where (e.epoch, e.tx, e.position) > (from_epoch, from_tx, from_position)
          and (e.epoch, e.tx)
              < ((select l.epoch from comanda.log l), pg_snapshot_xmin(pg_current_snapshot()))
        order by e.epoch, e.tx, e.position
        limit row_limit
    loop
        exit when at.recorded_at >= old and not past_young;
        epoch := at.epoch;
        tx := at.tx;
        position := at.position;
        reached := at.recorded_at;
        walked := walked + 1;
        if at.starts and at.recorded_at < old then
            some_streams := some_streams || at.stream_id;
            some_versions := some_versions || at.version;
            some_recorded := some_recorded || at.recorded_at;
        end if;
    end loop;
    select coalesce(array_agg(s.stream_id), '{}'), coalesce(array_agg(s.version), '{}'),
        coalesce(array_agg(s.recorded_at), '{}'), coalesce(array_agg(s.instance), '{}')
    into streams, versions, recorded, instances
    from (select u.*, comanda.derived_id(u.stream_id, role) as instance
          from unnest(some_streams, some_versions, some_recorded)
              u (stream_id, version, recorded_at)) s
    where not exists (select from comanda.events e where e.stream_id = s.instance);
    return next;
end $$;

-- Looks on, unless another process has just done so, and tells what is known of a definition's start
-- events. Bounded whatever comes in: row_limit rows of the log and missing_limit notes a look; past
-- those notes it stands still until some have begun. behind_s: how far it is from having looked at
-- all that is older than older_than. age_s: since the last look, of whatever process; NULL: none yet.
-- due_ms: when to ask again. A start event of which nothing has
-- come in thirty days is given up.
create function comanda.sagas_look(of_saga text, role text, of_categories text[], of_types text[],
    older_than interval, pause interval, row_limit int4, missing_limit int4)
returns table (missing int8, oldest timestamptz, example uuid, behind_s int4,
    looked_at timestamptz, age_s int4, due_ms int4)
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off
set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off as $$
#variable_conflict use_column
declare
    began timestamptz := clock_timestamp();
    watch comanda.saga_watch;
    found_on record;
    more bool := false;
begin
    if not exists (select from comanda.saga_watch w where w.saga = of_saga) then
        insert into comanda.saga_watch (saga, epoch, tx, position, reached)
        select of_saga, l.epoch, l.tx, l.position, now() - interval '1 day'
        from comanda.log_at(now() - interval '1 day') l
        on conflict do nothing;
    end if;
    select * into watch from comanda.saga_watch w
    where w.saga = of_saga and w.due_at <= began for update skip locked;
    if found then
        delete from comanda.saga_missing m
        where m.saga = of_saga and (m.recorded_at < now() - interval '30 days'
            or exists (select from comanda.events e where e.stream_id = m.instance));
        if (select count(*) from comanda.saga_missing m where m.saga = of_saga) < missing_limit then
            select * into found_on from comanda.sagas_unstarted(role, of_categories, of_types,
                older_than, false, watch.epoch, watch.tx, watch.position, row_limit);
            insert into comanda.saga_missing (saga, recorded_at, stream_id, version, instance)
            select of_saga, u.* from unnest(found_on.recorded, found_on.streams,
                found_on.versions, found_on.instances) u
            on conflict do nothing;
            more := found_on.walked = row_limit;
            update comanda.saga_watch w set epoch = found_on.epoch, tx = found_on.tx,
                position = found_on.position,
                reached = case when more then found_on.reached else began - older_than end
            where w.saga = of_saga;
        end if;
        update comanda.saga_watch w set looked_at = began,
            due_at = clock_timestamp() + case when more
                then greatest(interval '1 second', 10 * (clock_timestamp() - began)) else pause end
        where w.saga = of_saga;
    end if;
    return query
    select m.missing, m.oldest, (select n.stream_id from comanda.saga_missing n
            where n.saga = of_saga and n.recorded_at = m.oldest limit 1),
        coalesce(greatest(0, extract(epoch from nullif(w.looked_at, '-infinity') - older_than
            - w.reached)), 0)::int4,
        nullif(w.looked_at, '-infinity'), comanda.age_s(w.looked_at),
        (extract(epoch from greatest(w.due_at, clock_timestamp()) - clock_timestamp()) * 1000)::int4
    from comanda.saga_watch w
    cross join (select count(*) as missing, min(n.recorded_at) as oldest
                from comanda.saga_missing n where n.saga = of_saga) m
    where w.saga = of_saga;
end $$;

-- The same without moving anything, for a person: what is noted, and what lies on the way from there
-- on, or from a week ago where nobody has ever looked.
create function comanda.sagas_peek(of_saga text, role text, of_categories text[], of_types text[],
    older_than interval, row_limit int4)
returns table (missing int8, oldest timestamptz, example uuid, behind_s int4,
    looked_at timestamptz)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off
set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off as $$
#variable_conflict use_column
declare
    watch record;
    ahead record;
begin
    select w.epoch, w.tx, w.position, nullif(w.looked_at, '-infinity') as looked_at into watch
    from comanda.saga_watch w where w.saga = of_saga;
    if not found then
        select l.epoch, l.tx, l.position, null::timestamptz as looked_at into watch
        from comanda.log_at(now() - interval '7 days') l;
    end if;
    select * into ahead from comanda.sagas_unstarted(role, of_categories, of_types, older_than,
        true, watch.epoch, watch.tx, watch.position, row_limit);
    return query
    with all_of_them as materialized (
        select m.recorded_at, m.stream_id from comanda.saga_missing m
        where m.saga = of_saga
          and not exists (select from comanda.events e where e.stream_id = m.instance)
        union
        select u.* from unnest(ahead.recorded, ahead.streams) u)
    select count(*), min(a.recorded_at),
        (array_agg(a.stream_id order by a.recorded_at))[1],
        (case when ahead.walked = row_limit then greatest(0, extract(epoch from
            clock_timestamp() - older_than - ahead.reached)) else 0 end)::int4,
        watch.looked_at
    from all_of_them a;
end $$;

-- Of those that were ever parked, row_limit entries past a stream: how many there are, the last one's
-- stream, and how many wait still.
create function comanda.parked_past(after uuid, row_limit int4)
returns table (seen int8, last uuid, standing int8)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off
set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off
set enable_bitmapscan = off as $$
#variable_conflict use_column
begin
    return query
    with page as materialized (
        select e.stream_id from comanda.events e
        where e.category = 'saga' and e.type = 'SagaParked' and e.stream_id > after
        order by e.stream_id limit row_limit)
    select (select count(*) from page), (select p.stream_id from page p
        order by p.stream_id desc limit 1), count(*)
    from (select distinct p.stream_id from page p) s
    cross join lateral (
        select e.type from comanda.events e
        where e.stream_id = s.stream_id and e.kind = 'event'
        order by e.version desc limit 1) l
    where l.type = 'SagaParked';
end $$;

-- Sagas that have asked more than `asks` times.
create function comanda.asked_on(asks int4, row_limit int4) returns int8
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off
set enable_seqscan = off as $$
begin
    return (select count(*) from (
            select t.data ->> 'attempt' as attempt from comanda.timers t
            where (t.data ->> 'attempt') <> '1' limit row_limit) a
        where a.attempt::int4 > asks);
end $$;

-- Sagas that wait for a late answer or a person, and those that have asked more than `asks` times.
-- Bounded: row_limit rows a look, of all that were ever parked and of the timers that were set again.
-- A round may take several looks; what is told is the last whole round's, or more.
create function comanda.sagas_parked_look(asks int4, pause interval, row_limit int4)
returns table (parked int8, age_s int4, due_ms int4)
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
    began timestamptz := clock_timestamp();
    round comanda.saga_parked;
    page record;
begin
    select * into round from comanda.saga_parked p where p.due_at <= began
    for update skip locked;
    if found then
        select * into page from comanda.parked_past(round.after, row_limit);
        update comanda.saga_parked p set
            after = case when page.seen < row_limit
                then '00000000-0000-0000-0000-000000000000' else page.last end,
            counted = case when page.seen < row_limit then 0
                else round.counted + page.standing end,
            parked = case when page.seen < row_limit then round.counted + page.standing
                else greatest(p.parked, round.counted + page.standing) end,
            looked_at = began,
            due_at = clock_timestamp() + case when page.seen < row_limit then pause
                else greatest(interval '1 second', 10 * (clock_timestamp() - began)) end;
    end if;
    return query
    select p.parked + comanda.asked_on(asks, row_limit), comanda.age_s(p.looked_at),
        (extract(epoch from greatest(p.due_at, clock_timestamp()) - clock_timestamp())
            * 1000)::int4
    from comanda.saga_parked p;
end $$;

-- The same for a person, without writing: where row_limit entries are not all, what the looks found.
create function comanda.sagas_parked_peek(asks int4, row_limit int4) returns int8
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select case when n.seen < row_limit then n.standing else greatest(n.standing, p.parked) end
        + comanda.asked_on(asks, row_limit)
    from comanda.saga_parked p
    cross join comanda.parked_past('00000000-0000-0000-0000-000000000000', row_limit) n
$$;

-- Who holds the log's readers back: of all databases of the server the session, or the prepared
-- transaction, with the oldest transaction id. Always one row. age_s 0: none does. NULL: our owner
-- may not see the sessions of others, so it is not known.
create function comanda.horizon()
returns table (age_s float8, pid int4, gid text, application text, database text, username text,
    client text, state text)
language sql volatile security definer set search_path = pg_catalog, pg_temp as $$
    select case when pg_has_role(current_user, 'pg_read_all_stats', 'usage')
            then coalesce(extract(epoch from clock_timestamp() - h.since), 0)::float8 end,
        h.pid, h.gid, h.application, h.database, h.username, h.client, h.state
    from (select) one
    left join lateral (
        select a.xact_start as since, a.pid, null as gid, a.application_name as application,
            a.datname::text as database, a.usename::text as username,
            host(a.client_addr) as client, a.state, age(a.backend_xid) as depth
        from pg_stat_activity a
        where a.backend_xid is not null and a.pid <> pg_backend_pid()
        union all
        select p.prepared, null, p.gid, null, p.database::text, p.owner::text, null, 'prepared',
            age(p.transaction)
        from pg_prepared_xacts p
        order by depth desc limit 1) h on true
$$;

-- As before, now with an owner who may see; where he may not, 0 as ever.
create or replace function comanda.horizon_age_s() returns float8
language sql volatile security definer set search_path = pg_catalog, pg_temp as $$
    select coalesce(h.age_s, 0) from comanda.horizon() h
$$;

-- Functions run as the owner of the schema, so it is he who must be allowed to see all sessions.
-- Two databases of a server may be migrated at once: what another is just granting is tried again.
do $$
declare
    tries int4 := 0;
begin
    while not pg_has_role(current_user, 'pg_read_all_stats', 'usage') loop
        begin
            execute format('grant pg_read_all_stats to %I', current_user);
            exit when not pg_has_role(current_user, 'pg_read_all_stats', 'usage');
        exception
            when insufficient_privilege or undefined_object then
                exit;
            when internal_error or unique_violation then -- "tuple concurrently updated"
                tries := tries + 1;
                exit when tries >= 50;
                perform pg_sleep(0.02 * random());
        end;
    end loop;
    if not pg_has_role(current_user, 'pg_read_all_stats', 'usage') then
        raise exception 'the owner of the schema, %, may not see the sessions of others',
            current_user using errcode = 'insufficient_privilege',
            hint = format('As a superuser: grant pg_read_all_stats to %I; then migrate again.'
                ' It must inherit (not NOINHERIT).', current_user);
    end if;
end $$;

-- How long the log has waited for the relay, as relay_behind_s says, and whether it is not the relay
-- that it waits for: the first row past the checkpoint is not settled, a transaction holds it back.
create function comanda.relay_stands()
returns table (behind_s int4, held bool)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
set jit = off set enable_seqscan = off set enable_bitmapscan = off set enable_sort = off as $$
#variable_conflict use_column
declare
    at record;
begin
    select l.epoch, l.tx, l.position into at from comanda.leases l where l.name = 'relay';
    if not found then
        return query select null::int4, false;
        return;
    end if;
    return query
    select greatest(0, extract(epoch from clock_timestamp() - e.recorded_at))::int4,
        (e.epoch, e.tx)
            >= ((select l.epoch from comanda.log l), pg_snapshot_xmin(pg_current_snapshot()))
    from comanda.events e
    where (e.epoch, e.tx, e.position) > (at.epoch, at.tx, at.position)
    order by e.epoch, e.tx, e.position
    limit 1;
    if not found then
        return query select 0, false;
    end if;
end $$;

revoke all on comanda.saga_watch, comanda.saga_missing, comanda.saga_parked from public;
revoke execute on function comanda.log_at(timestamptz, interval),
    comanda.sagas_unstarted(text, text[], text[], interval, bool, int4, xid8, int8, int4),
    comanda.sagas_look(text, text, text[], text[], interval, interval, int4, int4),
    comanda.sagas_peek(text, text, text[], text[], interval, int4),
    comanda.sagas_parked_look(int4, interval, int4), comanda.sagas_parked_peek(int4, int4),
    comanda.parked_past(uuid, int4), comanda.asked_on(int4, int4), comanda.age_s(timestamptz),
    comanda.horizon(), comanda.relay_stands() from public;
grant execute on function
    comanda.sagas_look(text, text, text[], text[], interval, interval, int4, int4),
    comanda.sagas_parked_look(int4, interval, int4) to comanda_saga;
grant execute on function comanda.log_at(timestamptz, interval),
    comanda.sagas_peek(text, text, text[], text[], interval, int4),
    comanda.sagas_parked_peek(int4, int4) to comanda_operator;
grant select on comanda.saga_missing to comanda_operator;
grant execute on function comanda.horizon() to comanda_relay, comanda_operator;
grant execute on function comanda.relay_stands() to comanda_edge, comanda_operator;
