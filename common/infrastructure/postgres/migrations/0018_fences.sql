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
