// SPDX-License-Identifier: Apache-2.0
// comandactl log: a log that was restored, from a dump or to a point in time, is made this
// cluster's own.
#include <stdlib.h>
#include <string.h>

#include "documents.h"
#include "infrastructure/postgres/binary.h"
#include "infrastructure/postgres/connection.h"
#include "table.h"

enum {
    REPUBLISH_S_DEFAULT = 600,
    REPUBLISH_S_MAX = 7 * 86400,
    EPOCH_MAX = INT32_MAX - 1,
    SLOW_REPLY_MS = 3600 * 1000, // it may have to look at each row of a long log
};
#define POSITION_MAX (INT64_C(1) << 61)

struct adoption {
    bool after_restore;
    bool dry;
    int64_t past_epoch;
    int64_t past_position;
    int64_t republish_s;
};

// What the log has said; columns as comanda.log_adopt gives them.
struct adopted {
    bool foreign;
    int64_t old_epoch;
    int64_t new_epoch;
    int64_t next_position;
    int64_t overlooked;
    int64_t first_position;
    int64_t last_position;
    int64_t republished;
};

// As messages and documents carry it: <epoch>.<tx>.<position>.
static bool read_past(const char *text, struct adoption *adoption)
{
    struct str epoch, tx, rest;
    int64_t number;
    return str_split(str_from(text), '.', &epoch, &rest) && str_split(rest, '.', &tx, &rest) &&
           str_to_int64(epoch, &adoption->past_epoch) && str_to_int64(tx, &number) &&
           str_to_int64(rest, &adoption->past_position) && adoption->past_epoch >= 0 &&
           adoption->past_epoch <= EPOCH_MAX && adoption->past_position >= 0 &&
           adoption->past_position <= POSITION_MAX;
}

static enum ctl_exit read_options(const struct ctl *ctl, struct adoption *adoption)
{
    const char *past = ctl_option_value(ctl, "--past");
    const char *republish = ctl_option_value(ctl, "--republish");
    *adoption = (struct adoption){
        .after_restore = ctl_option_value(ctl, "--after-restore") != NULL,
        .dry = ctl_option_value(ctl, "--dry-run") != NULL,
        .republish_s = REPUBLISH_S_DEFAULT,
    };
    if (past != NULL && !read_past(past, adoption)) {
        return ctl_fail(ctl, CTL_USAGE,
                        "--past %s: write a message's position as it is,"
                        " <epoch>.<tx>.<position>, such as 1.7001.42",
                        past);
    }
    if (republish != NULL &&
        (!str_to_int64(str_from(republish), &adoption->republish_s) || adoption->republish_s < 0 ||
         adoption->republish_s > REPUBLISH_S_MAX)) {
        return ctl_fail(ctl, CTL_USAGE, "--republish %s: write seconds from 0 to %d", republish,
                        REPUBLISH_S_MAX);
    }
    if ((past != NULL || republish != NULL) && !adoption->after_restore) {
        return ctl_fail(ctl, CTL_USAGE, "--past and --republish go with --after-restore");
    }
    return CTL_OK;
}

static int64_t number_at(struct binary_row *row, int column)
{
    return binary_is_null(row, column) ? 0 : binary_int8(row, column);
}

static enum status adopt(struct ctl *ctl, struct postgres *postgres,
                         const struct adoption *adoption, struct adopted *adopted)
{
    static const Oid types[] = {OID_INT4, OID_INT4, OID_INT8, OID_INT4, OID_INT4};
    struct statement statement;
    struct binary_params params;
    PGresult *result = NULL;
    binary_params_begin(&params, &statement, ctl->arena, "log_adopt",
                        "select foreign_log, old_epoch::int8, new_epoch::int8, next_position,"
                        " overlooked, first_position, last_position, republished"
                        " from comanda.log_adopt($1 <> 0, $2, $3, $4, $5 <> 0)",
                        types);
    binary_param_int4(&params, adoption->after_restore);
    binary_param_int4(&params, (int32_t)adoption->past_epoch);
    binary_param_int8(&params, adoption->past_position);
    binary_param_int4(&params, (int32_t)adoption->republish_s);
    binary_param_int4(&params, adoption->dry);
    enum status status = params.status == STATUS_OK
                             ? postgres_run(postgres, &statement, POSTGRES_WRITES, &result)
                             : params.status;
    if (status != STATUS_OK) {
        return status;
    }
    struct binary_row row = {.result = result};
    *adopted = (struct adopted){
        .foreign = binary_bool(&row, 0),
        .old_epoch = number_at(&row, 1),
        .new_epoch = number_at(&row, 2),
        .next_position = number_at(&row, 3),
        .overlooked = number_at(&row, 4),
        .first_position = number_at(&row, 5),
        .last_position = number_at(&row, 6),
        .republished = number_at(&row, 7),
    };
    PQclear(result);
    return row.bad ? STATUS_MALFORMED : STATUS_OK;
}

// More than a role's statements usually have. A command that does not end is not waited for.
static enum status give_time(struct postgres *postgres)
{
    PGresult *result = NULL;
    postgres_set_reply_timeout(postgres, SLOW_REPLY_MS);
    enum status status = postgres_script(
        postgres, "set statement_timeout = 0; set lock_timeout = '10s'", POSTGRES_READS, &result);
    PQclear(result);
    return status;
}

static void say(const struct adoption *adoption, const struct adopted *adopted)
{
    const char *would = adoption->dry ? "would be " : "";
    if (adopted->new_epoch == adopted->old_epoch) {
        printf("nothing to do: the log was written in this cluster, epoch %lld; after a"
               " point-in-time restore add --after-restore\n",
               (long long)adopted->old_epoch);
        return;
    }
    printf("the log was %s; its epoch %s %lld, from %lld; the next position %s %lld\n",
           adopted->foreign ? "written in another cluster" : "restored in this cluster",
           adoption->dry ? "would be" : "is", (long long)adopted->new_epoch,
           (long long)adopted->old_epoch, adoption->dry ? "would be" : "is",
           (long long)adopted->next_position);
    if (adopted->overlooked > 0) {
        printf("%lld rows were written here before that and never published, of positions %lld to"
               " %lld: publish them with comandactl event replay\n",
               (long long)adopted->overlooked, (long long)adopted->first_position,
               (long long)adopted->last_position);
    }
    if (adoption->after_restore) {
        printf("%lld rows, the last %lld s, %spublished again; documents and snapshots %semptied:"
               " run comandactl projection rebuild for each tenant\n",
               (long long)adopted->republished, (long long)adoption->republish_s, would, would);
    }
}

static void say_json(const struct adoption *adoption, const struct adopted *adopted)
{
    printf("{\"adopted\":%s,\"dry_run\":%s,\"foreign\":%s,\"old_epoch\":%lld,\"new_epoch\":%lld,"
           "\"next_position\":%lld,\"overlooked\":%lld,\"first_position\":%lld,"
           "\"last_position\":%lld,\"republished\":%lld}\n",
           adopted->new_epoch > adopted->old_epoch && !adoption->dry ? "true" : "false",
           adoption->dry ? "true" : "false", adopted->foreign ? "true" : "false",
           (long long)adopted->old_epoch, (long long)adopted->new_epoch,
           (long long)adopted->next_position, (long long)adopted->overlooked,
           (long long)adopted->first_position, (long long)adopted->last_position,
           (long long)adopted->republished);
}

// The projector does it too, by the note that was left; this is sooner.
static enum ctl_exit empty_cache(const struct ctl *ctl, const struct ctl_cache *cache)
{
    if (cache->store == NULL || document_store_drop(cache->store, STR(""), STR("")) == STATUS_OK) {
        return CTL_OK;
    }
    return ctl_fail(ctl, CTL_UNAVAILABLE,
                    "Redis cannot be emptied from here; a running comanda-projector does it");
}

static enum ctl_exit run_adopt(struct ctl *ctl)
{
    struct adoption adoption;
    struct adopted adopted;
    struct ctl_cache cache = {0};
    enum ctl_exit code = read_options(ctl, &adoption);
    code = code == CTL_OK ? ctl_cache_open(ctl, &cache) : code;
    struct postgres *postgres = code == CTL_OK ? ctl_postgres_any_log(ctl, &code) : NULL;
    if (postgres == NULL) {
        ctl_cache_close(&cache);
        return code;
    }
    enum status status = give_time(postgres);
    if (status == STATUS_OK) {
        status = adopt(ctl, postgres, &adoption, &adopted);
    }
    if (status != STATUS_OK) {
        code = ctl_fail(ctl, ctl_exit_of(status), "PostgreSQL: %s", postgres_error(postgres));
    } else {
        (ctl->json ? say_json : say)(&adoption, &adopted);
        bool emptied = adoption.after_restore && !adoption.dry;
        code = emptied ? empty_cache(ctl, &cache) : CTL_OK;
    }
    postgres_free(postgres);
    ctl_cache_close(&cache);
    return code;
}

static const struct ctl_option adopt_options[] = {
    {"--after-restore", NULL,
     "its last rows may be lost: go past all that was seen of it, and empty what is derived"},
    {"--past", "POSITION",
     "the newest message's position that is known, <epoch>.<tx>.<position>; only needed where more"
     " than 2^40 rows may be lost"},
    {"--republish", "SECONDS",
     "how much of the log's end is published again, since who handled it may have forgotten (600)"},
    {"--redis", "ADDRESS",
     "the cache (else COMANDA_REDIS): host:port or redis://user:password@host:port;"
     " without it the projector empties the cache"},
    {"--dry-run", NULL, "only say what it would do"},
    {NULL, NULL, NULL},
};

static const struct ctl_verb verbs[] = {
    {"adopt", "", 0, 0, "make a log that was restored this cluster's own, so that programs use it",
     adopt_options, run_adopt},
    {NULL, NULL, 0, 0, NULL, NULL, NULL},
};

const struct ctl_noun ctl_log = {
    .name = "log",
    .summary = "the log after a restore",
    .verbs = verbs,
    .examples = "  comandactl log adopt --dry-run\n"
                "  comandactl log adopt --after-restore --redis cache:6379\n",
};
