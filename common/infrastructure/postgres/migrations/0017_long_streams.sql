-- Long streams: snapshots of a stream's state and of its document, each standing on a row of the
-- log. A cache still: it may be emptied at any time, and what was in it is made again.

drop function comanda.read_streams(uuid[], int4[], int2[], int4);
drop function comanda.save_snapshots(uuid[], int4[], int2[], json[]);
drop table comanda.snapshots;

-- The row that a snapshot stands on says whose stream it is, so tenant and category are the log's.
-- codec: version of the encoding; programs of two releases keep theirs side by side.
create table comanda.snapshots (
    stream_id uuid not null,
    kind text collate "C" not null check (kind in ('state', 'document')),
    codec int2 not null check (codec > 0),
    version int4 not null check (version > 0),
    event_id uuid not null,
    digest uuid not null,
    state json not null,
    primary key (stream_id, kind, codec, version)
);
revoke all on comanda.snapshots from public;
grant select on comanda.snapshots to comanda_operator;

create function comanda.snapshot_digest(stream_id uuid, kind text, codec int2, version int4,
    event_id uuid, state json)
returns uuid language sql immutable set search_path = pg_catalog, pg_temp as $$
    select md5(concat_ws(' ', stream_id, kind, codec, version, event_id, state))::uuid
$$;

-- Streams, each with the newest usable snapshots of what was asked for (rows of kind 'state' and
-- 'document', place and owner from the log's row under it, what it says in `data`), then the rows
-- after the older of them in version order, at most row_limit a stream. Unless all that a stream
-- was asked with are there, none comes, for its rows are needed all the same. Not usable: of
-- another encoding, with other bytes than were written, standing on a row that the log does not
-- have. until_versions: nothing beyond; 0: all.
-- In most calls no stream has one: then the log is the only table that is planned over.
create function comanda.read_streams(stream_ids uuid[], after_versions int4[],
    until_versions int4[], state_codecs int2[], document_codecs int2[], row_limit int4)
returns table (ordinal int4, version int4, kind text, epoch int4, tx xid8, "position" int8,
    event_id uuid, tenant text, category text, type text, schema_version int2, data json,
    meta json, recorded_at timestamptz)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off
set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off as $$
#variable_conflict use_column
begin
    if not exists (
        select from unnest(stream_ids, state_codecs, document_codecs) q (id, state, document)
        join comanda.snapshots s on s.stream_id = q.id
        where q.state > 0 or q.document > 0) then
        return query
        select q.ordinal::int4, e.version, e.kind, e.epoch, e.tx, e.position, e.event_id, e.tenant,
            e.category, e.type, e.schema_version, e.data, e.meta, e.recorded_at
        from unnest(stream_ids, after_versions, until_versions)
            with ordinality q (id, after, until, ordinal)
        cross join lateral (
            select * from comanda.events e where e.stream_id = q.id and e.version > q.after
                and e.version <= coalesce(nullif(q.until, 0), 2147483647)
            order by e.version limit row_limit) e
        order by 1, 2;
        return;
    end if;
    return query
    with asked as materialized (
        select q.ordinal::int4, q.id, q.after, coalesce(nullif(q.until, 0), 2147483647) as until,
            q.state, q.document
        from unnest(stream_ids, after_versions, until_versions, state_codecs, document_codecs)
            with ordinality q (id, after, until, state, document, ordinal)),
    found as materialized (
        select a.ordinal, k.kind, s.*
        from asked a
        cross join lateral (values ('state', a.state), ('document', a.document)) k (kind, codec)
        cross join lateral (
            select s.version, s.state, e.epoch, e.tx, e.position, e.event_id, e.tenant, e.category
            from comanda.snapshots s
            join comanda.events e on e.stream_id = s.stream_id and e.version = s.version
                and e.event_id = s.event_id
            where s.stream_id = a.id and s.kind = k.kind and s.codec = k.codec
                and s.version > a.after and s.version <= a.until
                and s.digest = comanda.snapshot_digest(s.stream_id, s.kind, s.codec, s.version,
                    s.event_id, s.state)
            order by s.version desc limit 1) s
        where k.codec > 0),
    begun as materialized (
        select a.ordinal, a.id, a.until, coalesce(f.version, a.after) as after,
            f.version is not null as shortened
        from asked a
        left join lateral (
            select min(f.version) as version from found f where f.ordinal = a.ordinal
            having count(*) = (a.state > 0)::int4 + (a.document > 0)::int4) f on true)
    select f.ordinal, f.version, f.kind, f.epoch, f.tx, f.position, f.event_id, f.tenant,
        f.category, null, null::int2, f.state, null::json, null::timestamptz
    from found f join begun b on b.ordinal = f.ordinal and b.shortened
    union all
    select b.ordinal, e.version, e.kind, e.epoch, e.tx, e.position, e.event_id, e.tenant,
        e.category, e.type, e.schema_version, e.data, e.meta, e.recorded_at
    from begun b
    cross join lateral (
        select * from comanda.events e where e.stream_id = b.id and e.version > b.after
            and e.version <= b.until
        order by e.version limit row_limit) e
    order by 1, 2;
end $$;

-- Keeps those that stand on a row of the log. Of a state the newest stays; of a document also the
-- last in each thousand versions, for who asks what it was; of another encoding, which a program
-- of another release may use, what is not far behind. Nobody waits for a row that another call is
-- deleting.
create function comanda.save_snapshots(stream_ids uuid[], kinds text[], codecs int2[],
    versions int4[], event_ids uuid[], states json[])
returns void language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off
set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off as $$
#variable_conflict use_column
begin
    -- One that cannot be used is in the way of what is as old or older.
    with useless as (
        select s.ctid from comanda.snapshots s
        join unnest(stream_ids, kinds, codecs, versions) q (stream_id, kind, codec, version)
            on s.stream_id = q.stream_id and s.kind = q.kind and s.codec = q.codec
            and s.version >= q.version
        where s.digest <> comanda.snapshot_digest(s.stream_id, s.kind, s.codec, s.version,
                s.event_id, s.state)
            or not exists (select from comanda.events e where e.stream_id = s.stream_id
                and e.version = s.version and e.event_id = s.event_id)
        for update of s skip locked)
    delete from comanda.snapshots s using useless u where s.ctid = u.ctid;

    insert into comanda.snapshots (stream_id, kind, codec, version, event_id, digest, state)
    select distinct on (q.stream_id, q.kind, q.codec, q.version) q.stream_id, q.kind, q.codec,
        q.version, q.event_id, comanda.snapshot_digest(q.stream_id, q.kind, q.codec, q.version,
            q.event_id, q.state), q.state
    from unnest(stream_ids, kinds, codecs, versions, event_ids, states)
        q (stream_id, kind, codec, version, event_id, state)
    join comanda.events e on e.stream_id = q.stream_id and e.version = q.version
        and e.event_id = q.event_id
    where octet_length(q.state::text) <= 1048576 and (q.kind <> 'state' or not exists (
        select from comanda.snapshots s where s.stream_id = q.stream_id and s.kind = q.kind
            and s.codec = q.codec and s.version > q.version))
    order by 1, 2, 3, 4
    on conflict do nothing;

    with outdone as (
        select s.ctid from comanda.snapshots s
        join comanda.snapshots n on n.stream_id = s.stream_id and n.kind = s.kind
            and n.version > s.version
        join unnest(stream_ids, kinds, codecs, versions) q (stream_id, kind, codec, version)
            on n.stream_id = q.stream_id and n.kind = q.kind and n.codec = q.codec
            and n.version = q.version
        where case when s.codec <> n.codec then s.version < n.version - 10000
            else s.kind = 'state' or s.version / 1000 = n.version / 1000 end
        for update of s skip locked)
    delete from comanda.snapshots s using outdone o where s.ctid = o.ctid;
end $$;

revoke execute on function comanda.snapshot_digest(uuid, text, int2, int4, uuid, json),
    comanda.read_streams(uuid[], int4[], int4[], int2[], int2[], int4),
    comanda.save_snapshots(uuid[], text[], int2[], int4[], uuid[], json[]) from public;
grant execute on function comanda.read_streams(uuid[], int4[], int4[], int2[], int2[], int4)
    to comanda_edge, comanda_saga, comanda_payment, comanda_inventory, comanda_shipping,
    comanda_projector, comanda_operator;
-- The edge too: it is who meets a long stream first, of whatever context, with a client waiting.
grant execute on function comanda.save_snapshots(uuid[], text[], int2[], int4[], uuid[], json[])
    to comanda_edge, comanda_saga, comanda_payment, comanda_inventory, comanda_shipping,
    comanda_operator;
