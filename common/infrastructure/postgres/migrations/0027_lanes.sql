-- Lanes: which processes serve those of a role now, so that they can share them out.
-- Serves programs of 0017 and later.

-- A hint that is told anew every few seconds: not logged, so that telling it costs no flush of the
-- log. After a crash and on a standby that has been promoted it is empty, and fills by itself.
create unlogged table comanda.lane_members (
    role text collate "C" not null,
    member uuid not null,
    seen_at timestamptz not null,
    primary key (role, member)
) with (fillfactor = 50);
revoke all on comanda.lane_members from public;
grant select on comanda.lane_members to comanda_operator;

-- Says that `own` is there; who has said so within stale_ms, in the order of their ids. Who has been
-- silent for ten minutes is forgotten.
create function comanda.lane_look(of_role text, own uuid, stale_ms int4)
returns table (member uuid) language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set jit = off as $$
#variable_conflict use_column
begin
    insert into comanda.lane_members as m (role, member, seen_at)
    values (of_role, own, clock_timestamp())
    on conflict (role, member) do update set seen_at = clock_timestamp();
    delete from comanda.lane_members m using (
        select o.role, o.member from comanda.lane_members o
        where o.seen_at < clock_timestamp() - interval '10 minutes'
        for update skip locked) o
    where m.role = o.role and m.member = o.member;
    return query
    select m.member from comanda.lane_members m
    where m.role = of_role
        and m.seen_at >= clock_timestamp() - stale_ms * interval '1 millisecond'
    order by m.member limit 64;
end $$;

create function comanda.lane_leave(of_role text, own uuid)
returns void language sql volatile security definer set search_path = pg_catalog, pg_temp as $$
    delete from comanda.lane_members m where m.role = of_role and m.member = own
$$;

revoke execute on function comanda.lane_look(text, uuid, int4), comanda.lane_leave(text, uuid)
    from public;
grant execute on function comanda.lane_look(text, uuid, int4), comanda.lane_leave(text, uuid)
    to comanda_saga, comanda_payment, comanda_inventory, comanda_shipping;
