-- Messages that were handled alone when their process died, by consumer. A row that is not cleared
-- within a week belongs to a message that has long gone elsewhere; marking another sweeps it away.

create table comanda.suspects (
    consumer text not null,
    message_id uuid not null,
    attempts int4 not null,
    marked_at timestamptz not null default now(),
    primary key (consumer, message_id)
);

create function comanda.suspect_mark(who text, message uuid) returns int4
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
    so_far int4;
begin
    insert into comanda.suspects as s (consumer, message_id, attempts) values (who, message, 1)
    on conflict (consumer, message_id)
    do update set attempts = s.attempts + 1, marked_at = now()
    returning s.attempts into so_far;
    if so_far = 1 then
        delete from comanda.suspects s where s.marked_at < now() - interval '7 days';
    end if;
    return so_far;
end $$;

create function comanda.suspect_clear(who text, message uuid) returns void
language sql volatile security definer set search_path = pg_catalog, pg_temp as $$
    delete from comanda.suspects s where s.consumer = who and s.message_id = message
$$;

revoke all on table comanda.suspects from public;
revoke all on function comanda.suspect_mark(text, uuid), comanda.suspect_clear(text, uuid)
    from public;
grant execute on function comanda.suspect_mark(text, uuid), comanda.suspect_clear(text, uuid)
    to comanda_saga, comanda_payment, comanda_inventory, comanda_shipping, comanda_projector;
grant select on comanda.suspects to comanda_operator;
