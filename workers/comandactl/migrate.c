// SPDX-License-Identifier: Apache-2.0
// comandactl migrate: brings the database's schema up to date and tells where it stands.
#include "infrastructure/postgres/migrate.h"

#include "command.h"

enum { JSON_BYTES_MAX = 1 << 20 };

static const char *state_text(enum migration_state state)
{
    switch (state) {
    case MIGRATION_PENDING:
        return "pending";
    case MIGRATION_APPLIED:
        return "applied";
    case MIGRATION_CHANGED:
        return "changed";
    case MIGRATION_FOREIGN:
        return "foreign";
    }
    return "?";
}

static void print_report(const struct ctl *ctl, const struct migrate_report *report)
{
    if (!ctl->json) {
        printf("schema version %d, %d applied now, %d partitions made%s\n", report->version,
               report->applied, report->partitions,
               report->epoch_raised ? ", epoch raised: this database came from another cluster"
                                    : "");
        if (report->undone > 0) {
            printf("%d partitions are left to the relay, others hold their tables\n",
                   report->undone);
        }
        if (report->overlooked > 0) {
            printf("%lld rows were written here before that and never published, of positions %lld"
                   " to %lld: publish them with comandactl event replay\n",
                   (long long)report->overlooked, (long long)report->first_position,
                   (long long)report->last_position);
        }
        return;
    }
    struct buffer out;
    buffer_init(&out, ctl->arena, JSON_BYTES_MAX);
    struct json_writer writer;
    json_writer_init(&writer, &out);
    json_object_begin(&writer);
    json_name(&writer, STR("version"));
    json_int(&writer, report->version);
    json_name(&writer, STR("applied"));
    json_int(&writer, report->applied);
    json_name(&writer, STR("partitions"));
    json_int(&writer, report->partitions);
    json_name(&writer, STR("partitions_left"));
    json_int(&writer, report->undone);
    json_name(&writer, STR("epoch_raised"));
    json_bool(&writer, report->epoch_raised);
    json_name(&writer, STR("overlooked"));
    json_int(&writer, report->overlooked);
    json_name(&writer, STR("first_position"));
    json_int(&writer, report->first_position);
    json_name(&writer, STR("last_position"));
    json_int(&writer, report->last_position);
    json_object_end(&writer);
    ctl_print_json(&out);
}

static enum ctl_exit run_migrate(struct ctl *ctl)
{
    enum ctl_exit code = CTL_OK;
    struct postgres *postgres = ctl_postgres_any_log(ctl, &code);
    if (postgres == NULL) {
        return code;
    }
    struct migrate_report report;
    enum status status = migrate_run(postgres, ctl->arena, &report);
    if (status == STATUS_OK) {
        print_report(ctl, &report);
    } else {
        code = ctl_fail(ctl, ctl_exit_of(status), "%.*s", STR_FMT(report.cause));
    }
    postgres_free(postgres);
    return code;
}

static void print_status(const struct ctl *ctl, const struct migration_status *list, size_t count)
{
    if (!ctl->json) {
        for (size_t i = 0; i < count; i++) {
            printf("%04d  %-8s  serves %04d  %-20.*s  %.*s\n", list[i].version,
                   state_text(list[i].state), list[i].serves, STR_FMT(list[i].name),
                   STR_FMT(list[i].applied_at));
        }
        return;
    }
    struct buffer out;
    buffer_init(&out, ctl->arena, JSON_BYTES_MAX);
    struct json_writer writer;
    json_writer_init(&writer, &out);
    json_array_begin(&writer);
    for (size_t i = 0; i < count; i++) {
        json_object_begin(&writer);
        json_name(&writer, STR("version"));
        json_int(&writer, list[i].version);
        json_name(&writer, STR("name"));
        json_string(&writer, list[i].name);
        json_name(&writer, STR("state"));
        json_string(&writer, str_from(state_text(list[i].state)));
        json_name(&writer, STR("serves"));
        json_int(&writer, list[i].serves);
        json_name(&writer, STR("applied_at"));
        json_string(&writer, list[i].applied_at);
        json_object_end(&writer);
    }
    json_array_end(&writer);
    ctl_print_json(&out);
}

static enum ctl_exit run_status(struct ctl *ctl)
{
    enum ctl_exit code = CTL_OK;
    struct postgres *postgres = ctl_postgres_any_log(ctl, &code);
    if (postgres == NULL) {
        return code;
    }
    struct migration_status *list = NULL;
    size_t count = 0;
    enum status status = migrate_read_status(postgres, ctl->arena, &list, &count);
    if (status == STATUS_OK) {
        print_status(ctl, list, count);
        for (size_t i = 0; i < count; i++) {
            code = list[i].state == MIGRATION_APPLIED ? code : CTL_NO;
        }
    } else {
        code = ctl_fail(ctl, ctl_exit_of(status), "%s", postgres_error(postgres));
    }
    postgres_free(postgres);
    return code;
}

static const struct ctl_verb verbs[] = {
    {"", "", 0, 0, "apply what is pending; safe to run twice at once", NULL, run_migrate},
    {"status", "", 0, 0, "list all migrations; exit code 1 unless all are applied", NULL,
     run_status},
    {NULL, NULL, 0, 0, NULL, NULL, NULL},
};

const struct ctl_noun ctl_migrate = {
    .name = "migrate",
    .summary = "bring the database's schema up to this program's version",
    .verbs = verbs,
    .examples = "  comandactl migrate --postgres 'host=db dbname=comanda user=owner'\n"
                "  COMANDA_POSTGRES='host=db dbname=comanda' comandactl migrate status --json\n",
};
