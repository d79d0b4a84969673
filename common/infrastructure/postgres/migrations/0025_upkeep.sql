-- Upkeep that never stops commands, and timers whose dead rows are not read again at each poll.
-- Serves programs of 0017 and later.

-- How tables that change much are vacuumed: after so many rows, not after a part of a table that has
-- grown, and without cutting the file, which locks the table. Partitions made later get the same.
create function comanda.storage_wanted(name text) returns text[] language sql immutable strict
set search_path = pg_catalog, pg_temp as $$
    select case
        when name = 'timers' then array['autovacuum_vacuum_scale_factor=0',
            'autovacuum_vacuum_threshold=20000', 'autovacuum_vacuum_cost_delay=0',
            'autovacuum_analyze_scale_factor=0', 'autovacuum_analyze_threshold=100000',
            'vacuum_truncate=off']
        when name in ('leases', 'timers_floor') then array['autovacuum_vacuum_scale_factor=0',
            'autovacuum_vacuum_threshold=1000', 'autovacuum_vacuum_cost_delay=0',
            'vacuum_truncate=off']
        when name ~ '^(keys|inbox)_' then array['autovacuum_vacuum_scale_factor=0.01',
            'autovacuum_vacuum_threshold=20000', 'autovacuum_vacuum_insert_scale_factor=0.05',
            'autovacuum_vacuum_insert_threshold=100000', 'autovacuum_analyze_scale_factor=0.05',
            'vacuum_truncate=off']
    end
$$;

create function comanda.tune_storage(name text) returns void language plpgsql
set search_path = pg_catalog, pg_temp as $$
begin
    execute format('alter table comanda.%I set (%s)', name,
        array_to_string(comanda.storage_wanted(name), ', '));
end $$;

-- As before, and tuned.
create or replace function comanda.make_partition(parent text, name text, lower uuid, upper uuid)
returns bool language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    strayed bool;
begin
    if to_regclass(format('comanda.%I', name)) is not null then
        return false;
    end if;
    if to_regclass(format('comanda.%I', parent || '_default')) is not null then
        execute format('select exists (select from comanda.%I where %I >= $1 and %I < $2)',
            parent || '_default', case parent when 'events' then 'stream_id' when 'keys' then 'id'
            else 'message_id' end, case parent when 'events' then 'stream_id' when 'keys' then 'id'
            else 'message_id' end) into strayed using lower, upper;
        if strayed then
            return false;
        end if;
    end if;
    execute format('create table comanda.%I (like comanda.%I including all)', name, parent);
    if parent = 'events' then
        execute format('create trigger immutable before update or delete or truncate on comanda.%I'
            ' for each statement execute function comanda.refuse_change()', name);
    else
        perform comanda.tune_storage(name);
    end if;
    execute format('alter table comanda.%I attach partition comanda.%I for values from (%L) to (%s)',
        parent, name, lower, coalesce(quote_literal(upper), 'maxvalue'));
    return true;
end $$;

-- Partitions that should be there and are not. barred: the DEFAULT partition has rows of its range,
-- which are right where they are, or so many rows that looking through them, as an attachment does
-- with everybody locked out, would stop commands.
create function comanda.partitions_missing(months_ahead int4)
returns table (parent text, name text, lower uuid, upper uuid, barred bool)
language plpgsql stable set search_path = pg_catalog, pg_temp set timezone = 'UTC' as $$
#variable_conflict use_column
begin
    for parent, name, lower, upper in
        select w.parent, w.name, comanda.id_floor(w.at), comanda.id_floor(w.until)
        from (
            select 'events', to_char(m.at, '"events_"YYYY"_"MM'), m.at, m.at + interval '1 month'
            from generate_series(date_trunc('month', now()), date_trunc('month', now())
                + make_interval(months => months_ahead), '1 month') m (at)
            union all
            select 'inbox', to_char(m.at, '"inbox_"YYYY"_"MM'), m.at, m.at + interval '1 month'
            from generate_series(date_trunc('month', now()), date_trunc('month', now())
                + least(make_interval(months => months_ahead), '3 months'), '1 month') m (at)
            union all
            -- Keys come up to their retention late, so the week before this one is needed too.
            select 'keys', to_char(m.at, '"keys_"YYYY"_"MM"_"DD'), m.at, m.at + interval '7 days'
            from generate_series(date_trunc('week', now() - interval '7 days'),
                date_trunc('week', now()) + interval '28 days', '7 days') m (at))
            w (parent, name, at, until)
        where to_regclass(format('comanda.%I', w.name)) is null
        order by w.at, w.parent
    loop
        execute format('select pg_relation_size(%1$L) > 32 * 1024 * 1024 or exists ('
            'select from comanda.%2$I where %3$I >= $1 and %3$I < $2)',
            'comanda.' || parent || '_default', parent || '_default',
            case parent when 'events' then 'stream_id' when 'keys' then 'id' else 'message_id' end)
            into barred using lower, upper;
        return next;
    end loop;
end $$;

-- Partitions that have served their time.
create function comanda.partitions_outlived(key_retention interval, inbox_retention interval)
returns table (name text) language sql stable
set search_path = pg_catalog, pg_temp set timezone = 'UTC' as $$
    select c.relname::text from pg_inherits i join pg_class c on c.oid = i.inhrelid
    where i.inhparent = 'comanda.keys'::regclass and c.relname ~ '^keys_\d{4}_\d\d_\d\d$'
      and to_timestamp(c.relname, '"keys_"YYYY"_"MM"_"DD') + interval '7 days'
          < now() - greatest(key_retention, '1 day')
    union all
    select c.relname from pg_inherits i join pg_class c on c.oid = i.inhrelid
    where i.inhparent = 'comanda.inbox'::regclass and c.relname ~ '^inbox_\d{4}_\d\d$'
      and to_timestamp(c.relname, '"inbox_"YYYY"_"MM') + interval '1 month'
          < now() - greatest(inbox_retention, '1 month')
$$;

create function comanda.tables_untuned() returns table (name text) language sql stable
set search_path = pg_catalog, pg_temp as $$
    select c.relname::text from pg_class c
    where c.relnamespace = 'comanda'::regnamespace and c.relkind = 'r'
      and not coalesce(c.reloptions, '{}') @> comanda.storage_wanted(c.relname)
$$;

-- One piece of upkeep and no more, so that what it locks is locked for no longer than it takes: the
-- partition that is needed first is made, or one that has outlived is dropped, or tables are tuned.
-- Gives what was done, '' when there was nothing, null while another session is at it. Whoever
-- holds what it must lock is waited for so shortly that those who queue up behind it are not held
-- up: lock_not_available, try again later. (DETACH CONCURRENTLY is no way: PostgreSQL refuses it
-- where there is a DEFAULT partition, and in functions.)
create function comanda.upkeep_step(months_ahead int4 default 24,
    key_retention interval default '7 days', inbox_retention interval default '3 months')
returns text language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set lock_timeout = '40ms' as $$
declare
    part record;
    tuned int4 := 0;
begin
    if not pg_try_advisory_xact_lock(hashtext('comanda.keep_partitions')) then
        return null;
    end if;
    select m.* into part from comanda.partitions_missing(months_ahead) m where not m.barred limit 1;
    if found then
        perform comanda.make_partition(part.parent, part.name, part.lower, part.upper);
        return 'made ' || part.name;
    end if;
    select o.name into part from comanda.partitions_outlived(key_retention, inbox_retention) o
    order by o.name limit 1;
    if found then
        execute format('drop table comanda.%I', part.name);
        return 'dropped ' || part.name;
    end if;
    for part in select u.name from comanda.tables_untuned() u loop
        begin
            perform comanda.tune_storage(part.name); -- no lock that a command would wait for
            tuned := tuned + 1;
        exception when lock_not_available then
            null; -- it is being vacuumed
        end;
    end loop;
    return case when tuned > 0 then format('tuned %s tables', tuned) else '' end;
end $$;

-- What upkeep has left undone.
create function comanda.upkeep_undone(months_ahead int4 default 24,
    key_retention interval default '7 days', inbox_retention interval default '3 months')
returns table (to_make int4, to_drop int4, barred int4) language sql stable security definer
set search_path = pg_catalog, pg_temp as $$
    select count(*) filter (where not m.barred)::int4,
        (select count(*)::int4 from comanda.partitions_outlived(key_retention, inbox_retention)),
        count(*) filter (where m.barred)::int4
    from comanda.partitions_missing(months_ahead) m
$$;

-- For programs of before, which call it each hour: one piece, and none when it is held up. They
-- call trim themselves.
create or replace function comanda.keep_partitions(months_ahead int4 default 24,
    key_retention interval default '7 days', inbox_retention interval default '3 months')
returns int4 language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set lock_timeout = '40ms' set timezone = 'UTC' as $$
begin
    return coalesce(comanda.upkeep_step(months_ahead, key_retention, inbox_retention)
        like 'made %', false)::int4;
exception when lock_not_available then
    return 0;
end $$;

-- As before, by the indexes of age that migrate makes (upkeep.c), and from where the session's
-- last call ended: what it has deleted stays in the index for as long as anybody's snapshot is
-- older. A row's age never changes, so nothing is left behind.
create or replace function comanda.trim(row_limit int4, key_retention interval default '7 days',
    inbox_retention interval default '3 months')
returns int4 language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set lock_timeout = '2s' set jit = off
set enable_seqscan = off set enable_bitmapscan = off set enable_sort = off as $$
declare
    most int4 := 0;
    part record;
    gone int4;
    until timestamptz;
begin
    for part in values ('keys_random', 'recorded_at', greatest(key_retention, '1 day')),
        ('keys_default', 'recorded_at', greatest(key_retention, '1 day')),
        ('inbox_default', 'handled_at', greatest(inbox_retention, '1 month'))
    loop
        execute format('with gone as (delete from comanda.%1$I where ctid = any (array('
            'select ctid from comanda.%1$I where %2$I >= $1 and %2$I < now() - $2'
            ' order by %2$I limit $3)) returning %2$I)'
            'select count(*), max(gone.%2$I) from gone', part.column1, part.column2)
            into gone, until
            using coalesce(nullif(current_setting('comanda.trimmed_' || part.column1, true), ''),
                '-infinity')::timestamptz, part.column3, row_limit;
        if until is not null then
            perform set_config('comanda.trimmed_' || part.column1, until::text, false);
        end if;
        most := greatest(most, gone);
    end loop;
    return most;
end $$;

-- Below `due` there is no timer that anybody could claim, so a claim begins there. A saga sets and
-- deletes a timer with each step, and while an old snapshot is held (a dump) every one of them stays
-- in the index, for a claim to walk over.
create table comanda.timers_floor (
    one bool primary key default true check (one),
    due timestamptz not null default '-infinity',
    -- The next floor, once all transactions up to next_xid have ended.
    next_due timestamptz,
    next_xid xid8
);
insert into comanda.timers_floor default values;
revoke all on comanda.timers_floor from public;

-- began: a moment before this transaction got its id, so every later id is of a later moment. When
-- all earlier ones have ended, what they left can be seen, and who came later sets timers past
-- that moment, or lowers the floor by the trigger below. Nobody waits: a floor that another session
-- is changing is left to it.
create function comanda.timers_floor_raise(seen timestamptz, began timestamptz) returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan set jit = off
set enable_seqscan = off set enable_bitmapscan = off set enable_sort = off as $$
declare
    low comanda.timers_floor;
    first timestamptz;
begin
    select f.* into low from comanda.timers_floor f where f.one and f.due = seen
    for update skip locked;
    if not found then
        return;
    end if;
    if low.next_xid < pg_snapshot_xmin(pg_current_snapshot()) then
        if low.next_due > began - interval '200 milliseconds' then
            return;
        end if;
        -- By a newer snapshot than the one that showed that they have ended.
        select t.due into first from comanda.timers t
        where t.due >= low.due and t.due <= low.next_due order by t.due limit 1;
        low.due := greatest(low.due, coalesce(first, low.next_due));
    elsif low.next_xid < pg_current_xact_id() then
        return;
    end if;
    update comanda.timers_floor f
    set due = low.due, next_due = began, next_xid = pg_current_xact_id() where f.one;
end $$;

create function comanda.timers_floor_lower() returns trigger language plpgsql
security definer set search_path = pg_catalog, pg_temp as $$
begin
    update comanda.timers_floor f
    set due = least(f.due, new.due), next_due = least(f.next_due, new.due)
    where f.one and (f.due > new.due or f.next_due > new.due);
    return null;
end $$;
create trigger due_at_once after insert or update of due on comanda.timers
    for each row when (new.due <= clock_timestamp())
    execute function comanda.timers_floor_lower();

-- As before, from the floor on. One that was slow raises it: at rest nothing is written. No sort
-- and no join: to a planner that knows an empty table, a walk through any index looks as good.
create or replace function comanda.claim_timers(row_limit int4, claim_s int4)
returns table (id uuid, saga_id uuid, due timestamptz, tenant text, data json)
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan set jit = off
set enable_hashjoin = off set enable_mergejoin = off
set enable_seqscan = off set enable_bitmapscan = off set enable_sort = off as $$
#variable_conflict use_column
declare
    began timestamptz := clock_timestamp();
    may_raise bool := pg_current_xact_id_if_assigned() is null
        and current_setting('transaction_isolation') = 'read committed';
    low timestamptz := (select f.due from comanda.timers_floor f where f.one);
    ids uuid[];
    dues timestamptz[];
begin
    if low > began then -- the clock has gone back, or the server is another one
        update comanda.timers_floor f set due = '-infinity', next_due = null, next_xid = null
        where f.one;
        low := '-infinity';
    end if;
    select array_agg(r.id), array_agg(r.due) into ids, dues
    from (select t.id, t.due from comanda.timers t where t.due >= low and t.due <= began
        order by t.due limit row_limit for update skip locked) r;
    if cardinality(ids) > 0 then
        return query
        update comanda.timers t set due = clock_timestamp() + make_interval(secs => claim_s)
        where t.id = any (ids)
        returning t.id, t.saga_id, dues[array_position(ids, t.id)], t.tenant, t.data;
    end if;
    if may_raise and clock_timestamp() - began > interval '1 millisecond' then
        perform comanda.timers_floor_raise(low, began);
    end if;
end $$;

revoke all on function comanda.storage_wanted(text), comanda.tune_storage(text),
    comanda.partitions_missing(int4), comanda.partitions_outlived(interval, interval),
    comanda.tables_untuned(), comanda.upkeep_step(int4, interval, interval),
    comanda.upkeep_undone(int4, interval, interval),
    comanda.timers_floor_raise(timestamptz, timestamptz), comanda.timers_floor_lower() from public;
grant execute on function comanda.upkeep_step(int4, interval, interval),
    comanda.upkeep_undone(int4, interval, interval) to comanda_relay, comanda_operator;
