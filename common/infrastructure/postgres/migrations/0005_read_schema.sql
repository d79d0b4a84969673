-- The read side's documents, and the sandbox provider's and carrier's own journal.

create schema comanda_read;

create table comanda_read.documents (
    tenant text not null,
    collection text not null,
    key text collate "C" not null,
    stream uuid not null,
    version int4 not null check (version > 0),
    epoch int4 not null,
    tx int8 not null,
    position int8 not null,
    owner text not null,
    filter text not null,
    sort text collate "C" not null,
    listed bool not null,
    body json not null,
    primary key (tenant, collection, key)
) with (fillfactor = 80);
create index documents_by_stream on comanda_read.documents (stream, collection);
-- Lists by keyset: an owner's, everybody's, an owner's of one filter value.
create index documents_by_owner on comanda_read.documents (tenant, collection, owner, sort)
    where listed;
create index documents_by_filter on comanda_read.documents (tenant, collection, owner, filter, sort)
    where listed;
create index documents_in_order on comanda_read.documents (tenant, collection, sort) where listed;

-- A projector that could not reach Redis notes it here; whoever finds a note left behind empties
-- the cache.
create table comanda_read.cache_debt (
    projector text primary key,
    noted_at timestamptz not null default now()
);

create schema sandbox;

create table sandbox.journal (
    recorded_at timestamptz not null default clock_timestamp(),
    party text not null,
    key text not null,
    operation text not null,
    outcome text not null
);
create index journal_key on sandbox.journal (party, key);
