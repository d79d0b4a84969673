-- Every process asks which programs the schema serves. The table is the migrator's own (migrate.c).
-- Serves programs of 0017 and later.
grant select on comanda.schema_versions to comanda_runtime, comanda_readonly;
