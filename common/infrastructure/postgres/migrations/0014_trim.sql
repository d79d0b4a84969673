-- Keys and inbox rows of ids without a time of their own lie in partitions that are never dropped, so
-- they are taken out row by row: a little at a time, as often as there is something to take.

-- Deletes at most row_limit rows of each; gives the most that one gave. That is row_limit as long as
-- there may be more.
create function comanda.trim(row_limit int4, key_retention interval default '7 days',
    inbox_retention interval default '3 months')
returns int4 language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set lock_timeout = '2s' as $$
declare
    most int4 := 0;
    part record;
    gone int4;
begin
    for part in values ('keys_random', 'recorded_at', greatest(key_retention, '1 day')),
        ('keys_default', 'recorded_at', greatest(key_retention, '1 day')),
        ('inbox_default', 'handled_at', greatest(inbox_retention, '1 month'))
    loop
        execute format('delete from comanda.%1$I where ctid = any (array('
            'select ctid from comanda.%1$I where %2$I < now() - $1 limit $2))',
            part.column1, part.column2) using part.column3, row_limit;
        get diagnostics gone = row_count;
        most := greatest(most, gone);
    end loop;
    return most;
end $$;

revoke execute on function comanda.trim(int4, interval, interval) from public;
grant execute on function comanda.trim(int4, interval, interval) to comanda_relay, comanda_operator;
