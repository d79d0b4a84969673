-- Lookups by key stay lookups, whatever a table held when a session planned them.
-- Serves programs of 0017 and later.
--
-- The functions of the log have always said so; the documents' statements are plain, so it stands at
-- the roles that run them. A join planned on a small table would read all of it for each batch until
-- autovacuum has analyzed it. With costs as high as that, compilation must be off (0010).
do $$
declare
    who text;
    setting text;
begin
    foreach who in array array['comanda_projector', 'comanda_edge'] loop
        foreach setting in array array['enable_seqscan', 'enable_hashjoin', 'enable_mergejoin', 'jit']
        loop
            execute format('alter role %I in database %I set %s = off', who, current_database(),
                setting);
        end loop;
    end loop;
end $$;

-- In the order of the ids, so that whoever claims or deletes timers too waits in one direction: an
-- index scan sorts what it is to find. Without locking each of them first.
create or replace function comanda.delete_timers(ids uuid[]) returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp
set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off
set enable_bitmapscan = off set jit = off as $$
begin
    delete from comanda.timers t where t.id = any (ids);
end $$;
