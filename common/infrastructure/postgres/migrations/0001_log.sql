-- The log and what commits with it: events, keys, inbox, timers, snapshots, leases, and their
-- partitions. Runs as the owner; the processes' roles come in 0006 and own nothing.

-- One row. The epoch goes up when the database comes to life in another cluster (restored from a
-- dump), where transaction ids begin anew: rows of an older epoch are settled for every reader.
create table comanda.log (
    one bool primary key default true check (one),
    epoch int4 not null default 1,
    system_identifier int8 not null
);
insert into comanda.log (system_identifier) select system_identifier from pg_control_system();

create sequence comanda.event_position as int8;

-- No CHECK: only comanda.append writes here, and a CHECK is parsed anew by each statement (a tenth of
-- a small batch).
create table comanda.events (
    position int8 not null default nextval('comanda.event_position'),
    tx xid8 not null default pg_current_xact_id(),
    recorded_at timestamptz not null default now(),
    epoch int4 not null,
    version int4 not null,
    stream_id uuid not null,
    event_id uuid not null,
    schema_version int2 not null,
    tenant text collate "C" not null,
    category text collate "C" not null,
    kind text collate "C" not null, -- 'event', 'command', 'reply'
    type text collate "C" not null,
    data json not null,
    meta json not null,
    primary key (stream_id, version)
) partition by range (stream_id);
create index events_tail on comanda.events (epoch, tx, position);

-- Idempotency keys, already hashed with tenant and principal. The first 48 bits are the key's own
-- time, or the first bit is set.
create table comanda.keys (
    recorded_at timestamptz not null default now(),
    version int4 not null,
    status int2 not null,
    id uuid primary key,
    fingerprint uuid not null,
    stream_id uuid not null
) partition by range (id);

-- Messages that a consumer has handled.
create table comanda.inbox (
    handled_at timestamptz not null default now(),
    message_id uuid not null,
    consumer text collate "C" not null,
    primary key (consumer, message_id)
) partition by range (message_id);

create table comanda.timers (
    due timestamptz not null,
    id uuid primary key,
    saga_id uuid not null,
    tenant text collate "C" not null,
    data json not null
);
create index timers_due on comanda.timers (due);

-- A cache: may be emptied at any time.
create table comanda.snapshots (
    version int4 not null,
    state_version int2 not null,
    stream_id uuid primary key,
    state json not null
);

create table comanda.leases (
    name text collate "C" primary key,
    holder text not null,
    fence int8 not null,
    backend int4,
    renewed_at timestamptz not null,
    epoch int4 not null default 0,
    tx xid8 not null default '0',
    position int8 not null default 0
);

-- What is recorded stays. Statement triggers, because a row trigger of a partitioned table does
-- not see TRUNCATE, and one on each partition, because a statement that names a partition does not
-- fire its parent's.
create function comanda.refuse_change() returns trigger language plpgsql as $$
begin
    raise exception '% on %.% is refused: what is recorded stays', tg_op, tg_table_schema,
        tg_table_name using errcode = 'insufficient_privilege';
end $$;

create trigger immutable before update or delete or truncate on comanda.events
    for each statement execute function comanda.refuse_change();

-- The smallest id of a moment: its milliseconds in the first 48 bits.
create function comanda.id_floor(at timestamptz) returns uuid language sql immutable strict
set search_path = pg_catalog, pg_temp as $$
    select rpad(lpad(to_hex((extract(epoch from at) * 1000)::int8), 12, '0'), 32, '0')::uuid
$$;

-- Makes a partition unless it is there. Attached, not created in place, so that writers of the
-- parent go on. A range whose rows have already strayed into the DEFAULT partition stays there:
-- they are correct where they are.
create function comanda.make_partition(parent text, name text, lower uuid, upper uuid)
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
    end if;
    execute format('alter table comanda.%I attach partition comanda.%I for values from (%L) to (%s)',
        parent, name, lower, coalesce(quote_literal(upper), 'maxvalue'));
    return true;
end $$;

create table comanda.events_default partition of comanda.events default;
create table comanda.keys_default partition of comanda.keys default;
create table comanda.inbox_default partition of comanda.inbox default;
create trigger immutable before update or delete or truncate on comanda.events_default
    for each statement execute function comanda.refuse_change();

-- Ids without a time of their own: their first bit is set.
select comanda.make_partition('events', 'events_named', '80000000-0000-0000-0000-000000000000', null),
       comanda.make_partition('keys', 'keys_random', '80000000-0000-0000-0000-000000000000', null),
       comanda.make_partition('inbox', 'inbox_named', '80000000-0000-0000-0000-000000000000', null);
create index keys_random_age on comanda.keys_random using brin (recorded_at);

-- Keeps the partitions of this month (week) and those ahead, and drops keys and inbox rows that
-- have served their time. Harmless at any time and from several sessions at once.
create function comanda.keep_partitions(months_ahead int4 default 24,
    key_retention interval default '7 days', inbox_retention interval default '3 months')
returns int4 language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set lock_timeout = '2s' set timezone = 'UTC' as $$
declare
    made int4 := 0;
    part record;
    at timestamptz;
begin
    perform pg_advisory_xact_lock(hashtext('comanda.keep_partitions'));
    for at in select generate_series(date_trunc('month', now()),
        date_trunc('month', now()) + make_interval(months => months_ahead), '1 month') loop
        made := made + comanda.make_partition('events', to_char(at, '"events_"YYYY"_"MM'),
            comanda.id_floor(at), comanda.id_floor(at + interval '1 month'))::int4;
    end loop;
    for at in select generate_series(date_trunc('month', now()),
        date_trunc('month', now()) + least(make_interval(months => months_ahead), '3 months'),
        '1 month') loop
        made := made + comanda.make_partition('inbox', to_char(at, '"inbox_"YYYY"_"MM'),
            comanda.id_floor(at), comanda.id_floor(at + interval '1 month'))::int4;
    end loop;
    -- Keys come up to their retention late, so the week before this one is needed too.
    for at in select generate_series(date_trunc('week', now() - interval '7 days'),
        date_trunc('week', now()) + interval '28 days', '7 days') loop
        made := made + comanda.make_partition('keys', to_char(at, '"keys_"YYYY"_"MM"_"DD'),
            comanda.id_floor(at), comanda.id_floor(at + interval '7 days'))::int4;
    end loop;
    for part in
        select c.relname from pg_inherits i join pg_class c on c.oid = i.inhrelid
        where i.inhparent = 'comanda.keys'::regclass and c.relname ~ '^keys_\d{4}_\d\d_\d\d$'
          and to_timestamp(c.relname, '"keys_"YYYY"_"MM"_"DD') + interval '7 days'
              < now() - greatest(key_retention, '1 day')
        union all
        select c.relname from pg_inherits i join pg_class c on c.oid = i.inhrelid
        where i.inhparent = 'comanda.inbox'::regclass and c.relname ~ '^inbox_\d{4}_\d\d$'
          and to_timestamp(c.relname, '"inbox_"YYYY"_"MM') + interval '1 month'
              < now() - greatest(inbox_retention, '1 month')
    loop
        execute format('drop table comanda.%I', part.relname);
    end loop;
    delete from comanda.keys_random where ctid = any (array(select ctid from comanda.keys_random
        where recorded_at < now() - greatest(key_retention, '1 day') limit 100000));
    delete from comanda.keys_default where ctid = any (array(select ctid from comanda.keys_default
        where recorded_at < now() - greatest(key_retention, '1 day') limit 100000));
    delete from comanda.inbox_default where ctid = any (array(select ctid from comanda.inbox_default
        where handled_at < now() - greatest(inbox_retention, '1 month') limit 100000));
    return made;
end $$;

select comanda.keep_partitions();

-- Months from now that have a partition of the log; doctor and a metric warn below 3.
create function comanda.partition_months() returns int4 language sql stable security definer
set search_path = pg_catalog, pg_temp set timezone = 'UTC' as $$
    select count(*)::int4 from pg_inherits i join pg_class c on c.oid = i.inhrelid
    where i.inhparent = 'comanda.events'::regclass and c.relname ~ '^events_\d{4}_\d\d$'
      and to_timestamp(c.relname, '"events_"YYYY"_"MM') > now()
$$;
