-- Which definitions running sagas stand on, and the list of instances with theirs.

-- Sagas that have not ended, by definition. One that waits for an answer has its timer, one that is
-- parked its row in events_saga_parked: nothing else is read. example: the oldest of them.
create function comanda.sagas_running()
returns table (saga text, saga_version int4, running int8, example uuid)
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select b.data ->> 'saga', (b.data ->> 'saga_version')::int4, count(*),
        (array_agg(r.saga_id order by r.saga_id))[1]
    from (select t.saga_id from comanda.timers t
          union
          select p.stream_id from
              (select distinct e.stream_id from comanda.events e
               where e.category = 'saga' and e.type = 'SagaParked') p
          cross join lateral
              (select e.type from comanda.events e
               where e.stream_id = p.stream_id and e.kind = 'event'
               order by e.version desc limit 1) l
          where l.type = 'SagaParked') r
    cross join lateral
        (select e.data from comanda.events e
         where e.stream_id = r.saga_id and e.version = 1 and e.type = 'SagaStarted' limit 1) b
    group by 1, 2
$$;

-- As before, and the version of its definition.
drop function comanda.saga_instances(timestamptz, uuid, int4);
create function comanda.saga_instances(since timestamptz, before uuid, row_limit int4)
returns table (stream_id uuid, tenant text, saga text, saga_version int4, subject uuid,
    started_at timestamptz, version int4, changed_at timestamptz, type text, data json)
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select f.stream_id, f.tenant, f.data ->> 'saga', (f.data ->> 'saga_version')::int4,
        (f.data ->> 'subject')::uuid, f.recorded_at, l.version, l.recorded_at, l.type, l.data
    from comanda.events f
    cross join lateral
       (select e.version, e.recorded_at, e.type, e.data from comanda.events e
        where e.stream_id = f.stream_id and e.kind = 'event'
        order by e.version desc limit 1) l
    where f.stream_id >= comanda.id_floor(since) and (before is null or f.stream_id < before)
      and f.version = 1 and f.category = 'saga' and f.type = 'SagaStarted'
    order by f.stream_id desc limit row_limit
$$;

revoke all on function comanda.sagas_running(), comanda.saga_instances(timestamptz, uuid, int4)
    from public;
grant execute on function comanda.sagas_running() to comanda_saga, comanda_operator;
grant execute on function comanda.saga_instances(timestamptz, uuid, int4) to comanda_operator;
