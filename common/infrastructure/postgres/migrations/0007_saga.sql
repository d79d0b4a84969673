-- What operators and metrics ask about sagas. The log is the truth: nothing here is kept beside it.

-- uuid_derive (common/base/uuid.h): the parent's first 48 bits, the rest SHA-256 over both.
create function comanda.derived_id(parent uuid, role text) returns uuid
language sql immutable strict parallel safe set search_path = pg_catalog, pg_temp as $$
    select encode(set_byte(set_byte(substr(i.parent, 1, 6) || substr(i.digest, 1, 10),
        6, get_byte(i.digest, 0) & 15 | 128), 8, get_byte(i.digest, 2) & 63 | 128), 'hex')::uuid
    from (select uuid_send(derived_id.parent) as parent,
                 sha256(uuid_send(derived_id.parent) || convert_to(role, 'UTF8')) as digest) i
$$;

-- Parked sagas are few, so finding them costs little and keeping this index next to nothing.
create index events_saga_parked on comanda.events (stream_id)
    where category = 'saga' and type = 'SagaParked';

-- Events that should have started a saga and have not, among streams born in the window before
-- older_than. Bounded by the window: a metric asks for minutes, doctor for days.
create function comanda.sagas_missing(of_category text, of_types text[], role text,
    older_than interval, time_window interval)
returns table (missing int8, oldest timestamptz, example uuid)
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select count(*), min(e.recorded_at), (array_agg(e.stream_id order by e.recorded_at))[1]
    from comanda.events e
    where e.stream_id >= comanda.id_floor(now() - older_than - time_window)
      and e.stream_id < comanda.id_floor(now() - older_than)
      and e.category = of_category and e.type = any (of_types) and e.kind = 'event'
      and e.recorded_at < now() - older_than
      and not exists (select from comanda.events s
                      where s.stream_id = comanda.derived_id(e.stream_id, role))
$$;

-- Sagas that wait for a late answer or a person, and those that have asked more than `asks` times.
create function comanda.sagas_parked(asks int4) returns int8
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select (select count(*) from
               (select distinct e.stream_id from comanda.events e
                where e.category = 'saga' and e.type = 'SagaParked') p
            cross join lateral
               (select e.type from comanda.events e
                where e.stream_id = p.stream_id and e.kind = 'event'
                order by e.version desc limit 1) l
            where l.type = 'SagaParked')
         + (select count(*) from comanda.timers t where (t.data ->> 'attempt')::int4 > asks)
$$;

-- Instances, the newest first, with the last thing that happened to each. before: the last one of
-- the page before; NULL: from the newest on.
create function comanda.saga_instances(since timestamptz, before uuid, row_limit int4)
returns table (stream_id uuid, tenant text, saga text, subject uuid, started_at timestamptz,
    version int4, changed_at timestamptz, type text, data json)
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select f.stream_id, f.tenant, f.data ->> 'saga', (f.data ->> 'subject')::uuid, f.recorded_at,
        l.version, l.recorded_at, l.type, l.data
    from comanda.events f
    cross join lateral
       (select e.version, e.recorded_at, e.type, e.data from comanda.events e
        where e.stream_id = f.stream_id and e.kind = 'event'
        order by e.version desc limit 1) l
    where f.stream_id >= comanda.id_floor(since) and (before is null or f.stream_id < before)
      and f.version = 1 and f.category = 'saga' and f.type = 'SagaStarted'
    order by f.stream_id desc limit row_limit
$$;

revoke all on function comanda.derived_id(uuid, text),
    comanda.sagas_missing(text, text[], text, interval, interval), comanda.sagas_parked(int4),
    comanda.saga_instances(timestamptz, uuid, int4) from public;
grant execute on function comanda.derived_id(uuid, text) to comanda_runtime, comanda_readonly;
grant execute on function comanda.sagas_missing(text, text[], text, interval, interval),
    comanda.sagas_parked(int4) to comanda_saga, comanda_operator;
grant execute on function comanda.saga_instances(timestamptz, uuid, int4) to comanda_operator;
