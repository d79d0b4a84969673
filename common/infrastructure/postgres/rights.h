// SPDX-License-Identifier: Apache-2.0
// What each program must be allowed at PostgreSQL, one list a program, and the proof that it is.
#pragma once

#include "base/arena.h"
#include "base/status.h"
#include "base/str.h"
#include "infrastructure/postgres/connection.h"

// Lines of "<privilege> <schema>.<object>", or "usage <schema>". program: "comanda-edge",
// "comanda-relay", "comanda-saga", "comanda-projector", "comanda-operator" (comandactl's); any
// other is a participant, which runs a context's commands.
const char *rights_of(const char *program);

// $1: such a list. One row of one text: what the current role lacks of it, with the role's name, as
// a sentence of at most 450 bytes; "" for nothing. Every overload of a function has to be allowed.
#define RIGHTS_LACKING_SQL                                                                        \
    "(select coalesce(current_user || ' may not '"                                                \
    " || left(string_agg(n.need, ', ' order by n.at), 350), '')"                                  \
    " from (select u.need, u.at, split_part(u.need, ' ', 1) as privilege,"                        \
    "  split_part(split_part(u.need, ' ', 2), '.', 1) as space,"                                  \
    "  split_part(split_part(u.need, ' ', 2), '.', 2) as object"                                  \
    "  from unnest(string_to_array($1, E'\\n')) with ordinality u (need, at)) n"                  \
    " left join pg_catalog.pg_namespace s on s.nspname = n.space"                                 \
    " where not coalesce(case n.privilege"                                                        \
    "  when 'usage' then has_schema_privilege(s.oid, 'usage')"                                    \
    "  when 'execute' then (select bool_and(has_function_privilege(p.oid, 'execute'))"            \
    "   from pg_catalog.pg_proc p where p.pronamespace = s.oid and p.proname = n.object)"         \
    "  else (select bool_and(has_table_privilege(c.oid, n.privilege)) from pg_catalog.pg_class c" \
    "   where c.relnamespace = s.oid and c.relname = n.object) end, false))"

// more: what the program needs besides, for its effects, as such a list; NULL: nothing. *lacking:
// the sentence, in the arena.
enum status rights_lacking(struct postgres *postgres, const char *program, const char *more,
                           struct arena *arena, struct str *lacking) MUST_CHECK;
