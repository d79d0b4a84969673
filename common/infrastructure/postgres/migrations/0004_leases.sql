-- Who leads, and how far the log is published. A session advisory lock says who; the lease row's
-- fence, which only grows, keeps a leader that was stopped and wakes up from doing harm.

create function comanda.lease_backend(lease text) returns int4 language sql volatile
set search_path = pg_catalog, pg_temp as $$
    select l.pid from pg_locks l
    where l.locktype = 'advisory' and l.granted and l.objsubid = 2
      and l.database = (select d.oid from pg_database d where d.datname = current_database())
      and l.classid = (hashtext('comanda.lease')::int8 & 4294967295)::oid
      and l.objid = (hashtext(lease)::int8 & 4294967295)::oid
$$;

create function comanda.lease_lock(lease text) returns bool language sql volatile
set search_path = pg_catalog, pg_temp as $$
    select comanda.lease_backend(lease) is not distinct from pg_backend_pid()
        or pg_try_advisory_lock(hashtext('comanda.lease'), hashtext(lease))
$$;

create function comanda.lease_is_stale(lease text, stale_s int4) returns bool language sql volatile
security definer set search_path = pg_catalog, pg_temp as $$
    select exists (select from comanda.leases l where l.name = lease
        and l.renewed_at < clock_timestamp() - make_interval(secs => stale_s))
$$;

-- Ends the session of a leader whose lease is stale. With the caller's own rights: a role may end
-- the sessions of its own.
create function comanda.lease_end_stale(lease text, stale_s int4) returns bool
language sql volatile set search_path = pg_catalog, pg_temp as $$
    select coalesce((select pg_terminate_backend(b.pid, 2000)
        from (select comanda.lease_backend(lease) as pid) b
        where b.pid <> pg_backend_pid() and comanda.lease_is_stale(lease, stale_s)), false)
$$;

-- A row when the lease is ours now, none when another session holds the lock.
create function comanda.lease_acquire(lease text, who text)
returns table (fence int8, epoch int4, tx xid8, "position" int8)
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
begin
    if not comanda.lease_lock(lease) then
        return;
    end if;
    return query
    insert into comanda.leases as l (name, holder, fence, backend, renewed_at)
    values (lease, who, 1, pg_backend_pid(), clock_timestamp())
    on conflict (name) do update set holder = excluded.holder, fence = l.fence + 1,
        backend = excluded.backend, renewed_at = excluded.renewed_at
    returning l.fence, l.epoch, l.tx, l.position;
end $$;

-- False: lost. A session that lost only its connection takes the lock again.
create function comanda.lease_renew(lease text, held_fence int8) returns bool
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
begin
    if not comanda.lease_lock(lease) then
        return false;
    end if;
    update comanda.leases l set renewed_at = clock_timestamp(), backend = pg_backend_pid()
    where l.name = lease and l.fence = held_fence;
    if not found then
        perform pg_advisory_unlock(hashtext('comanda.lease'), hashtext(lease));
        return false;
    end if;
    return true;
end $$;

-- Moves the checkpoint, never back. False: the fence is old, nothing was moved.
create function comanda.lease_checkpoint(lease text, held_fence int8, to_epoch int4, to_tx xid8,
    to_position int8) returns bool
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
begin
    update comanda.leases l set
        epoch = case when moved.forward then to_epoch else l.epoch end,
        tx = case when moved.forward then to_tx else l.tx end,
        position = case when moved.forward then to_position else l.position end
    from (select (to_epoch, to_tx, to_position) > (o.epoch, o.tx, o.position) as forward
          from comanda.leases o where o.name = lease) moved
    where l.name = lease and l.fence = held_fence;
    return found;
end $$;

create function comanda.lease_release(lease text, held_fence int8) returns bool
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
    ours bool;
begin
    update comanda.leases l set renewed_at = '-infinity', backend = null
    where l.name = lease and l.fence = held_fence;
    ours := found;
    if comanda.lease_backend(lease) = pg_backend_pid() then
        perform pg_advisory_unlock(hashtext('comanda.lease'), hashtext(lease));
    end if;
    return ours;
end $$;

-- What is not yet published: the log past the relay's checkpoint.
create view comanda.outbox as
    select e.* from comanda.events e
    where (e.epoch, e.tx, e.position) > (
        coalesce((select l.epoch from comanda.leases l where l.name = 'relay'), 0),
        coalesce((select l.tx from comanda.leases l where l.name = 'relay'), '0'::xid8),
        coalesce((select l.position from comanda.leases l where l.name = 'relay'), 0));

-- Rows past a checkpoint, settled or not, counted up to count_max.
create function comanda.backlog(lease text, count_max int8) returns int8
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
set enable_seqscan = off as $$
declare
    at record;
begin
    select coalesce(max(l.epoch), 0) as epoch, coalesce(max(l.tx::text), '0')::xid8 as tx,
        coalesce(max(l.position), 0) as position
    into at from comanda.leases l where l.name = lease;
    return (select count(*) from (
        select from comanda.events e
        where (e.epoch, e.tx, e.position) > (at.epoch, at.tx, at.position)
        limit count_max) pending);
end $$;
