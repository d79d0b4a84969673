-- Keeping the planner to index lookups makes its costs look enormous, and costs are what switches
-- just-in-time compilation on: seconds for a query of half a millisecond.
do $$
declare
    tuned regprocedure;
begin
    for tuned in select p.oid from pg_proc p where p.pronamespace = 'comanda'::regnamespace
        and p.prokind = 'f' and exists (
            select from unnest(p.proconfig) c where c like 'enable\_%' or c like 'plan\_cache\_mode=%')
    loop
        execute format('alter function %s set jit = off', tuned);
    end loop;
end $$;
