-- A lease is renewed only by the session that took it. One that lost its connection may be talking to
-- another server now (a standby that was promoted and lacks the last rows): what it remembers of the
-- log may not be there, so it takes the lease anew and goes back to the checkpoint of that server.
create or replace function comanda.lease_renew(lease text, held_fence int8) returns bool
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
begin
    if comanda.lease_backend(lease) is distinct from pg_backend_pid() then
        return false;
    end if;
    update comanda.leases l set renewed_at = clock_timestamp()
    where l.name = lease and l.fence = held_fence;
    if not found then
        perform pg_advisory_unlock(hashtext('comanda.lease'), hashtext(lease));
        return false;
    end if;
    return true;
end $$;
