-- How far queues are behind, as the workers tell: a step whose command still waits is not silent.
-- Serves programs of 0017 and later.

-- A row stands while a worker is behind: it has taken up what was recorded up to that moment, up to
-- that place in the log, and says so until the row no longer holds. worker: its session's process
-- id; 0: nobody is there to tell, and the timers of steps that wait have told instead, of the first
-- that waits.
create table comanda.backlog (
    taken_up_to timestamptz not null,
    tx xid8 not null default '0',
    position int8 not null default 0,
    epoch int4 not null default 0,
    told_at timestamptz not null,
    holds_until timestamptz not null,
    worker int4 not null,
    queue text collate "C" not null,
    primary key (queue, worker)
);

-- A worker is there: its session holds the queue's lock, shared, for as long as it lives.
create function comanda.backlog_attend(of_queue text) returns void language plpgsql volatile
security definer set search_path = pg_catalog, pg_temp as $$
begin
    perform pg_try_advisory_lock_shared(hashtext('comanda.backlog'), hashtext(of_queue));
    delete from comanda.backlog b
    where (b.queue = of_queue and b.worker in (0, pg_backend_pid()))
       or b.holds_until < clock_timestamp() - interval '1 hour';
end $$;

create function comanda.backlog_is_attended(of_queue text) returns bool language sql volatile
set search_path = pg_catalog, pg_temp as $$
    select exists (select from pg_locks l
        where l.locktype = 'advisory' and l.granted and l.objsubid = 2
          and l.database = (select d.oid from pg_database d where d.datname = current_database())
          and l.classid = (hashtext('comanda.backlog')::int8 & 4294967295)::oid
          and l.objid = (hashtext(of_queue)::int8 & 4294967295)::oid)
$$;

-- NULL: it is no longer behind.
create function comanda.backlog_tell(of_queue text, up_to timestamptz, at_epoch int4, at_tx xid8,
    at_position int8) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
begin
    if up_to is null then
        delete from comanda.backlog b where b.queue = of_queue and b.worker = pg_backend_pid();
        return;
    end if;
    insert into comanda.backlog as b (queue, worker, taken_up_to, epoch, tx, position, told_at,
        holds_until)
    values (of_queue, pg_backend_pid(), up_to, at_epoch, at_tx, at_position, clock_timestamp(),
        clock_timestamp() + interval '30 seconds')
    on conflict (queue, worker) do update set taken_up_to = excluded.taken_up_to,
        epoch = excluded.epoch, tx = excluded.tx, position = excluded.position,
        told_at = excluded.told_at, holds_until = excluded.holds_until;
end $$;

-- How many seconds what is recorded now may wait until it is taken up: the worst of the relay and
-- the queues. 0: nobody is behind.
create function comanda.backlog_s() returns int4 language sql volatile security definer
set search_path = pg_catalog, pg_temp as $$
    select greatest(coalesce(comanda.relay_behind_s(), 0),
        (select max(extract(epoch from clock_timestamp() - b.taken_up_to))::int4
         from comanda.backlog b where b.holds_until > clock_timestamp()))
$$;

-- Of due timers that were claimed: which are to wait on, since their step's command, or its reply,
-- has not been taken up yet, or not for the step's whole time ('waits': they are due again when that
-- may be over, and marked; one whose queue is no longer behind then waits for its whole time once
-- more), and which have waited for longer than the patience of a step ('spent'). Others do not come
-- back.
--
-- timers, sagas: one element a timer. of_timers (from 1), commands, replies: ids of the commands that
-- may have been issued for its step, and the streams of their replies. calls ("<saga>/<version>/<step>/<direction>"), call_queues,
-- timeouts_s, endless: what the definitions say; endless: its patience begins anew with each command.
create function comanda.timers_put_off(timers uuid[], sagas uuid[], of_timers int4[],
    commands uuid[], replies uuid[], calls text[], call_queues text[], timeouts_s int4[], endless bool[],
    saga_queue text, patience_s int4)
returns table (id uuid, fate text) language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
#variable_conflict use_column
declare
    at_time timestamptz := clock_timestamp();
begin
    return query
    with relay as materialized (
        select l.epoch, l.tx, l.position from comanda.leases l where l.name = 'relay'),
    served as materialized (
        select q.queue, comanda.backlog_is_attended(q.queue) as attended, b.taken_up_to, b.epoch,
            b.tx, b.position
        from (select distinct u.queue from unnest(call_queues || saga_queue) u (queue)) q
        left join lateral (select f.* from comanda.backlog f
            where f.queue = q.queue and f.worker <> 0 and f.holds_until > at_time
            order by f.epoch, f.tx, f.position limit 1) b on true),
    asked as materialized (
        select a.of_timer, a.reply, c.recorded_at, c.epoch, c.tx, c.position,
            concat_ws('/', c.data ->> 'saga', c.data ->> 'saga_version',
                c.data ->> 'step', c.data ->> 'direction') as call,
            coalesce((c.epoch, c.tx, c.position) > (l.epoch, l.tx, l.position), true) as unsent
        from unnest(of_timers, commands, replies) a (of_timer, command, reply)
        join comanda.events c on c.stream_id = sagas[a.of_timer] and c.event_id = a.command
        left join relay l on true),
    answered as materialized (
        select a.of_timer, bool_or((r.epoch, r.tx, r.position) > (l.epoch, l.tx, l.position)
            or (r.epoch, r.tx, r.position) > (s.epoch, s.tx, s.position)
            or r.recorded_at > at_time - interval '2 seconds') as waits -- a worker tells that late
        from asked a
        join comanda.events r on r.stream_id = a.reply and r.version = 1
        join served s on s.queue = saga_queue
        left join relay l on true
        group by a.of_timer),
    issued as materialized (
        select a.of_timer, a.call, max(a.recorded_at) as last_at, min(a.recorded_at) as first_at,
            bool_or(a.unsent or (a.epoch, a.tx, a.position) > (s.epoch, s.tx, s.position)) as waits
        from asked a
        join unnest(calls, call_queues) k (call, queue) on k.call = a.call
        join served s on s.queue = k.queue
        group by a.of_timer, a.call),
    looked as materialized (
        select timers[i.of_timer] as timer, k.queue, k.timeout_s, i.last_at,
            not s.attended as deserted, s.taken_up_to is not null as behind,
            not s.attended or coalesce(i.waits, false) or coalesce(w.waits, false)
                or coalesce(i.last_at + make_interval(secs => k.timeout_s) > s.taken_up_to, false)
                as waits,
            case when k.endless then i.last_at else i.first_at end
                + make_interval(secs => patience_s) as patient_until,
            greatest(at_time, i.last_at + coalesce(at_time - s.taken_up_to, interval '0'))
                + make_interval(secs => k.timeout_s) as due_again
        from issued i
        join unnest(calls, call_queues, timeouts_s, endless) k (call, queue, timeout_s, endless)
            on k.call = i.call
        join served s on s.queue = k.queue
        left join answered w on w.of_timer = i.of_timer),
    held as materialized (
        select k.*, t.data ->> 'waited' is not null as waited
        from looked k join comanda.timers t on t.id = k.timer
        where k.patient_until > at_time
          and (k.waits or not k.behind and t.data ->> 'waited' is not null)
        order by t.id for update of t skip locked),
    put_off as (
        update comanda.timers t
        set due = least(h.patient_until, case when h.waits
                then least(h.due_again, at_time + interval '1 minute')
                else at_time + make_interval(secs => h.timeout_s) end),
            data = case when not h.waits then (t.data::jsonb - 'waited')::json
                when h.waited then t.data else (t.data::jsonb || '{"waited":true}')::json end
        from held h where t.id = h.timer),
    told as (
        insert into comanda.backlog as b (queue, worker, taken_up_to, told_at, holds_until)
        select k.queue, 0, min(k.last_at), at_time, at_time + interval '90 seconds'
        from looked k where k.deserted and k.patient_until > at_time group by k.queue
        on conflict (queue, worker) do update set told_at = excluded.told_at,
            holds_until = excluded.holds_until,
            taken_up_to = case when b.holds_until > at_time
                then least(b.taken_up_to, excluded.taken_up_to) else excluded.taken_up_to end)
    select k.timer, case when k.patient_until > at_time then 'waits' else 'spent' end
    from looked k
    where k.waits or k.patient_until <= at_time or k.timer in (select h.timer from held h);
end $$;

revoke all on comanda.backlog from public;
revoke all on function comanda.backlog_attend(text), comanda.backlog_is_attended(text),
    comanda.backlog_tell(text, timestamptz, int4, xid8, int8), comanda.backlog_s(),
    comanda.timers_put_off(uuid[], uuid[], int4[], uuid[], uuid[], text[], text[], int4[], bool[],
    text, int4) from public;
grant execute on function comanda.backlog_attend(text),
    comanda.backlog_tell(text, timestamptz, int4, xid8, int8)
    to comanda_saga, comanda_payment, comanda_inventory, comanda_shipping;
grant execute on function comanda.timers_put_off(uuid[], uuid[], int4[], uuid[], uuid[], text[],
    text[], int4[], bool[], text, int4) to comanda_saga;
grant execute on function comanda.backlog_s() to comanda_edge, comanda_operator;
grant select on comanda.backlog to comanda_operator;
