-- A fence is worth what the session that was given it is worth, and a restored log is known as one.
-- Serves programs of 0017 and later.

-- The setting of this session in which its fence of a lease stands: it goes with the session, so
-- that what another session remembers (of another server, perhaps) is no fence here.
create function comanda.lease_mark(lease text) returns text language sql immutable strict
set search_path = pg_catalog, pg_temp as $$
    select 'comanda.lease_' || to_hex(hashtext(lease)::int8 & 4294967295)
$$;

-- A row when the lease is ours now, none when another session holds the lock.
create or replace function comanda.lease_acquire(lease text, who text)
returns table (fence int8, epoch int4, tx xid8, "position" int8)
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
    taken record;
begin
    if not comanda.lease_lock(lease) then
        return;
    end if;
    insert into comanda.leases as l (name, holder, fence, backend, renewed_at)
    values (lease, who, 1, pg_backend_pid(), clock_timestamp())
    on conflict (name) do update set holder = excluded.holder, fence = l.fence + 1,
        backend = excluded.backend, renewed_at = excluded.renewed_at
    returning l.fence, l.epoch, l.tx, l.position into taken;
    perform set_config(comanda.lease_mark(lease), taken.fence::text, false);
    return query select taken.fence, taken.epoch, taken.tx, taken.position;
end $$;

-- Moves the checkpoint, never back. False: the fence is old or another session's, nothing was moved.
-- An asynchronous standby that was promoted gives transaction ids of the lost rows again: a leader
-- that has read those on the dead server must not say here how far the log is published.
create or replace function comanda.lease_checkpoint(lease text, held_fence int8, to_epoch int4,
    to_tx xid8, to_position int8) returns bool
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
begin
    if current_setting(comanda.lease_mark(lease), true) is distinct from held_fence::text then
        return false;
    end if;
    update comanda.leases l set
        epoch = case when moved.forward then to_epoch else l.epoch end,
        tx = case when moved.forward then to_tx else l.tx end,
        position = case when moved.forward then to_position else l.position end
    from (select (to_epoch, to_tx, to_position) > (o.epoch, o.tx, o.position) as forward
          from comanda.leases o where o.name = lease) moved
    where l.name = lease and l.fence = held_fence;
    return found;
end $$;

-- False: it was not this session's, and whoever has it keeps it.
create or replace function comanda.lease_release(lease text, held_fence int8) returns bool
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
    ours bool;
begin
    if current_setting(comanda.lease_mark(lease), true) is distinct from held_fence::text then
        return false;
    end if;
    update comanda.leases l set renewed_at = '-infinity', backend = null
    where l.name = lease and l.fence = held_fence;
    ours := found;
    perform set_config(comanda.lease_mark(lease), '', false);
    if comanda.lease_backend(lease) = pg_backend_pid() then
        perform pg_advisory_unlock(hashtext('comanda.lease'), hashtext(lease));
    end if;
    return ours;
end $$;

revoke execute on function comanda.lease_mark(text) from public;

-- Does the log lie in the cluster that gave its transaction ids? False after a dump was restored
-- elsewhere, until it is adopted; NULL while it is being restored. Asked by the first statement of
-- each session, so whoever may use the schema may ask.
create function comanda.log_at_home() returns bool language sql stable security definer
set search_path = pg_catalog, pg_temp as $$
    select l.system_identifier = c.system_identifier from comanda.log l, pg_control_system() c
$$;

-- Rows that were written in this cluster before the log was adopted here, and that the relay has
-- overlooked: their transaction ids are this cluster's (a restored row was written by another
-- transaction than the one it names) and lie before its checkpoint.
create function comanda.log_overlooked()
returns table (overlooked int8, first_position int8, last_position int8, since timestamptz)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp as $$
begin
    return query
    select count(*), min(e.position), max(e.position), min(e.recorded_at)
    from comanda.events e, comanda.log g, comanda.leases l
    where l.name = 'relay' and e.epoch = g.epoch and e.tx <= pg_current_xact_id()
      and (e.epoch, e.tx, e.position) <= (l.epoch, l.tx, l.position)
      and e.xmin::text::int8 = (e.tx::text::int8 & 4294967295);
end $$;

-- The row after which everything was recorded in the log's last so many seconds, and how many that
-- are; a million at most.
create function comanda.log_last(seconds int4)
returns table (epoch int4, tx xid8, "position" int8, younger int8)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
set jit = off set enable_seqscan = off set enable_bitmapscan = off set enable_sort = off as $$
#variable_conflict use_column
declare
    found record;
    newest timestamptz;
    so_far int8 := 0;
begin
    for found in
        select e.epoch, e.tx, e.position, e.recorded_at from comanda.events e
        order by e.epoch desc, e.tx desc, e.position desc limit 1000001
    loop
        newest := coalesce(newest, found.recorded_at);
        if found.recorded_at < newest - make_interval(secs => seconds) or so_far = 1000000 then
            return query select found.epoch, found.tx, found.position, so_far;
            return;
        end if;
        so_far := so_far + 1;
    end loop;
    return query select 0, '0'::xid8, 0::int8, so_far;
end $$;

-- Makes the log this cluster's, or one that was restored: what is appended from now on comes, for
-- every reader, after all that was ever read of it.
--
-- after_restore: its last rows may be lost, and others may have seen them. Then the epoch rises past
-- every other line of this log's life, since it is at least the minutes since 2020; positions jump by
-- 2^40, at 100,000 rows a second four months of them, from the last of the log or what the caller
-- knows of (past_position); all that is derived is emptied, and the relay goes back by so many
-- seconds, since what was handled after the moment of the backup is as lost.
-- dry: says what it would do.
--
-- The lock waits for those who have read the epoch: none of them commits a row of it later.
create function comanda.log_adopt(after_restore bool, past_epoch int4, past_position int8,
    republish_s int4, dry bool)
returns table (foreign_log bool, old_epoch int4, new_epoch int4, next_position int8,
    overlooked int8, first_position int8, last_position int8, since timestamptz, republished int8)
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
    here record;
    behind record;
    back record;
    epoch_to int4;
    position_to int8;
begin
    if not dry and (after_restore or comanda.log_at_home() is not true) then
        lock table comanda.log in access exclusive mode;
    end if;
    select l.epoch, c.system_identifier, l.system_identifier <> c.system_identifier as moved
    into strict here from comanda.log l, pg_control_system() c;
    select o.* into behind from comanda.log_overlooked() o where here.moved;
    select coalesce(b.younger, 0) as younger, b.epoch, b.tx, b.position
    into back from comanda.log_last(republish_s) b where after_restore and republish_s > 0;
    epoch_to := case
        when after_restore then greatest(here.epoch, past_epoch,
            (extract(epoch from clock_timestamp() - timestamptz '2020-01-01 00:00:00+00') / 60)::int4)
            + 1
        when here.moved then greatest(here.epoch, past_epoch) + 1
        else here.epoch end;
    position_to := (select greatest(s.last_value, past_position)
        + case when after_restore then (1::int8 << 40) else 0 end from comanda.event_position s);
    if not dry and epoch_to > here.epoch then
        update comanda.log l set epoch = epoch_to, system_identifier = here.system_identifier;
        perform setval('comanda.event_position', position_to);
        update comanda.leases l
        set fence = l.fence + 1, backend = null, renewed_at = '-infinity';
        if back.younger > 0 then
            update comanda.leases l set epoch = back.epoch, tx = back.tx, position = back.position
            where l.name = 'relay'
              and (l.epoch, l.tx, l.position) > (back.epoch, back.tx, back.position);
        end if;
        if after_restore then
            delete from comanda.snapshots;
            delete from comanda_read.documents;
            insert into comanda_read.cache_debt (projector) values ('comandactl log adopt')
            on conflict (projector) do update set noted_at = clock_timestamp();
        end if;
    end if;
    return query select here.moved, here.epoch, epoch_to, position_to + 1,
        coalesce(behind.overlooked, 0), behind.first_position, behind.last_position, behind.since,
        coalesce(back.younger, 0);
end $$;

revoke execute on function comanda.log_at_home(), comanda.log_overlooked(), comanda.log_last(int4),
    comanda.log_adopt(bool, int4, int8, int4, bool) from public;
grant execute on function comanda.log_at_home() to comanda_runtime, comanda_readonly;
grant execute on function comanda.log_adopt(bool, int4, int8, int4, bool) to comanda_operator;
