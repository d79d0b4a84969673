-- Messages that come again are tried together first: a mark with 0 attempts says that the message
-- was in hand with others, and whoever meets it goes on with that one alone.

-- Marks all that have none yet; gives those that had one.
create function comanda.suspect_mark_group(who text, messages uuid[]) returns setof uuid
language sql volatile security definer set search_path = pg_catalog, pg_temp as $$
    with marked as (
        insert into comanda.suspects (consumer, message_id, attempts)
        select distinct who, m.id, 0 from unnest(messages) m (id) order by 2
        on conflict (consumer, message_id) do nothing)
    select s.message_id from comanda.suspects s
    where s.consumer = who and s.message_id = any (messages)
$$;

drop function comanda.suspect_clear(text, uuid);
create function comanda.suspect_clear(who text, messages uuid[]) returns void
language sql volatile security definer set search_path = pg_catalog, pg_temp as $$
    delete from comanda.suspects s where s.consumer = who and s.message_id = any (messages)
$$;

revoke all on function comanda.suspect_mark_group(text, uuid[]),
    comanda.suspect_clear(text, uuid[]) from public;
grant execute on function comanda.suspect_mark_group(text, uuid[]),
    comanda.suspect_clear(text, uuid[])
    to comanda_saga, comanda_payment, comanda_inventory, comanda_shipping, comanda_projector;
