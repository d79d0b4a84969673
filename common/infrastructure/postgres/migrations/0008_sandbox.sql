-- The sandbox's payment provider and carrier: what they know and how they answer. They keep their
-- own books, in transactions of their own, as a provider elsewhere would.
--
-- Marks. Tokens: tok_declined, tok_capture_fails, tok_silent (authorize never answers), tok_late
-- (authorize is done, its answer comes only after it was undone); any other is good. Postal code
-- 00000-000: the carrier refuses.

create table sandbox.payments (
    payment text primary key,
    token text not null default '',
    amount int8 not null default 0,
    currency text not null default '',
    authorized bool not null default false,
    captured bool not null default false,
    undone bool not null default false
);

create table sandbox.shipments (
    shipment text primary key,
    scheduled bool not null default false,
    cancelled bool not null default false
);

-- The first answer under a key is the answer for ever, refusals too.
create table sandbox.answers (
    party text not null,
    key text not null,
    outcome text not null,
    code text not null,
    detail text not null,
    primary key (party, key)
);

create function sandbox.note(who text, what text, under text, became text) returns void
language sql volatile set search_path = pg_catalog, pg_temp as $$
    insert into sandbox.journal (party, key, operation, outcome) values (who, under, what, became)
$$;

create function sandbox.remember(who text, under text, became text, refusal text, words text)
returns void language sql volatile set search_path = pg_catalog, pg_temp as $$
    insert into sandbox.answers values (who, under, became, refusal, words)
$$;

-- What a payment's operation leads to, the first time under its key. Outcome null: no answer.
create function sandbox.authorize(known sandbox.payments, under text, card text, sum int8,
    unit text, out outcome text, out code text, out detail text)
language plpgsql volatile set search_path = pg_catalog, pg_temp as $$
begin
    code := '';
    detail := '';
    if known.undone then
        outcome := 'refused'; code := 'payment_undone'; detail := 'the payment was undone before';
    elsif card = 'tok_silent' then
        return;
    elsif card = 'tok_declined' then
        outcome := 'refused'; code := 'payment_declined'; detail := 'the card was declined';
    else
        outcome := 'done';
        update sandbox.payments p set authorized = true, token = card, amount = sum,
            currency = unit where p.payment = known.payment;
    end if;
    perform sandbox.note('payment_provider', 'authorize', under, outcome);
    perform sandbox.remember('payment_provider', under, outcome, code, detail);
end $$;

create function sandbox.capture(known sandbox.payments, under text, sum int8, unit text,
    out outcome text, out code text, out detail text)
language plpgsql volatile set search_path = pg_catalog, pg_temp as $$
begin
    outcome := 'refused';
    code := 'payment_declined';
    detail := '';
    if known.undone then
        code := 'payment_undone'; detail := 'the payment was undone before';
    elsif not known.authorized then
        code := 'payment_not_authorized'; detail := 'nothing was authorized';
    elsif sum > known.amount or unit <> known.currency then
        code := 'payment_not_authorized'; detail := 'more than what was authorized';
    elsif known.token = 'tok_capture_fails' then
        detail := 'the card was declined at capture';
    else
        outcome := 'done'; code := '';
        update sandbox.payments p set captured = true where p.payment = known.payment;
    end if;
    perform sandbox.note('payment_provider', 'capture', under, outcome);
    perform sandbox.remember('payment_provider', under, outcome, code, detail);
end $$;

-- Undoes the whole payment, whatever was done; of a payment that nobody knows it remembers that it
-- must not succeed later.
create function sandbox.undo(known sandbox.payments, under text) returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp as $$
begin
    if known.undone then
        return;
    end if;
    update sandbox.payments p set undone = true where p.payment = known.payment;
    perform sandbox.note('payment_provider',
        case when known.captured then 'refund' else 'void' end, under,
        case when known.authorized then 'done' else 'tombstone' end);
end $$;

create function sandbox.perform_payment(asked text, id text, under text, card text, sum int8,
    unit text, out outcome text, out code text, out detail text, out captured bool)
language plpgsql volatile set search_path = pg_catalog, pg_temp as $$
declare
    known sandbox.payments;
begin
    insert into sandbox.payments (payment) values (id) on conflict do nothing;
    select p.* into known from sandbox.payments p where p.payment = id for update;
    captured := known.captured;
    if asked = 'undo' then
        perform sandbox.undo(known, under);
        outcome := 'done'; code := ''; detail := '';
        return;
    end if;
    select a.outcome, a.code, a.detail into outcome, code, detail
    from sandbox.answers a where a.party = 'payment_provider' and a.key = under;
    if not found and asked = 'authorize' then
        select a.* into outcome, code, detail
        from sandbox.authorize(known, under, card, sum, unit) a;
    elsif not found then
        select a.* into outcome, code, detail from sandbox.capture(known, under, sum, unit) a;
    end if;
    if asked = 'authorize' and card = 'tok_late' and not known.undone then
        outcome := null; -- it is done all the same
    end if;
end $$;

-- A batch, in the order of the payments so that two never wait for each other. Operations:
-- authorize, capture, undo. outcome: done, refused, none (no answer).
create function sandbox.perform_payments(asked text[], ids text[], keys text[], cards text[],
    sums int8[], units text[])
returns table (call int4, outcome text, code text, detail text, captured bool)
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
    one record;
    answer record;
begin
    for one in select * from unnest(asked, ids, keys, cards, sums, units) with ordinality
        c (asked, id, key, card, sum, unit, ordinal) order by c.id, c.ordinal
    loop
        select * into answer from sandbox.perform_payment(one.asked, one.id, one.key, one.card,
            one.sum, one.unit);
        call := one.ordinal;
        outcome := coalesce(answer.outcome, 'none');
        code := coalesce(answer.code, '');
        detail := coalesce(answer.detail, '');
        captured := answer.captured;
        return next;
    end loop;
end $$;

create function sandbox.schedule(known sandbox.shipments, under text, code_of_place text,
    out outcome text, out code text, out detail text)
language plpgsql volatile set search_path = pg_catalog, pg_temp as $$
begin
    outcome := 'refused';
    code := 'shipment_refused';
    detail := 'the carrier does not deliver there';
    if known.cancelled then
        code := 'shipment_cancelled'; detail := 'the shipment was cancelled before';
    elsif code_of_place <> '00000-000' then
        outcome := 'done'; code := ''; detail := '';
        update sandbox.shipments s set scheduled = true where s.shipment = known.shipment;
    end if;
    perform sandbox.note('carrier', 'schedule', under, outcome);
    perform sandbox.remember('carrier', under, outcome, code, detail);
end $$;

create function sandbox.perform_shipment(asked text, id text, under text, code_of_place text,
    out outcome text, out code text, out detail text)
language plpgsql volatile set search_path = pg_catalog, pg_temp as $$
declare
    known sandbox.shipments;
begin
    insert into sandbox.shipments (shipment) values (id) on conflict do nothing;
    select s.* into known from sandbox.shipments s where s.shipment = id for update;
    if asked = 'cancel' then
        outcome := 'done'; code := ''; detail := '';
        if not known.cancelled then
            update sandbox.shipments s set cancelled = true where s.shipment = id;
            perform sandbox.note('carrier', 'cancel', under,
                case when known.scheduled then 'done' else 'tombstone' end);
        end if;
        return;
    end if;
    select a.outcome, a.code, a.detail into outcome, code, detail
    from sandbox.answers a where a.party = 'carrier' and a.key = under;
    if not found then
        select a.* into outcome, code, detail from sandbox.schedule(known, under, code_of_place) a;
    end if;
end $$;

-- As perform_payments. Operations: schedule, cancel.
create function sandbox.perform_shipments(asked text[], ids text[], keys text[], places text[])
returns table (call int4, outcome text, code text, detail text)
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
    one record;
    answer record;
begin
    for one in select * from unnest(asked, ids, keys, places) with ordinality
        c (asked, id, key, place, ordinal) order by c.id, c.ordinal
    loop
        select * into answer
        from sandbox.perform_shipment(one.asked, one.id, one.key, one.place);
        call := one.ordinal;
        outcome := answer.outcome;
        code := answer.code;
        detail := answer.detail;
        return next;
    end loop;
end $$;

revoke all on all functions in schema sandbox from public;
grant execute on function
    sandbox.perform_payments(text[], text[], text[], text[], int8[], text[]) to comanda_payment;
grant execute on function
    sandbox.perform_shipments(text[], text[], text[], text[]) to comanda_shipping;
-- The journal is written by these functions alone.
revoke insert on sandbox.journal from comanda_payment, comanda_shipping;
