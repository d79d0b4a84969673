// SPDX-License-Identifier: Apache-2.0
// Directive comanda_health: `live` says that the loop turns, `ready` whether commands can be
// served.
#include "answer/answer.h"
#include "guard/content.h"
#include "store/store.h"

#include "base/buffer.h"
#include "base/json.h"
#include "infrastructure/postgres/migrate.h"

extern ngx_module_t ngx_http_comanda_health_module;

enum { READY_BYTES_MAX = 4096, READY_TIMEOUT_MS = 1000, RELAY_BEHIND_MAX_S = 10 };

// A probe that waits for PostgreSQL's word: first on the schema, then on the relay.
struct probe {
    ngx_http_request_t *request;
    struct ngx_http_comanda_reads *reads;
    struct ngx_http_comanda_read read;
    ngx_event_t deadline;
};

// What PostgreSQL says. relay_behind_s is -1 as long as no relay has led, or none was asked about.
struct word {
    bool fine;
    struct str detail;
    int relay_behind_s;
    bool held; // by a transaction that has not ended: the relay may not read on
};

static void write_check(struct json_writer *json, struct str name, bool fine, struct str detail)
{
    json_name(json, name);
    json_object_begin(json);
    json_name(json, STR("status"));
    json_string(json, fine ? STR("up") : STR("down"));
    json_name(json, STR("detail"));
    json_string(json, detail);
    json_object_end(json);
}

static void write_redis(struct json_writer *json, const struct ngx_http_comanda_redis *redis,
                        bool *degraded)
{
    bool refused = redis != NULL && ngx_http_comanda_redis_refused(redis);
    bool fine = redis != NULL && !refused && ngx_http_comanda_redis_ready(redis);
    *degraded |= redis != NULL && !fine;
    write_check(json, STR("redis"), fine || redis == NULL,
                redis == NULL ? STR("not used")
                : fine        ? STR("connected")
                : refused ? STR("refuses our user: see the error log; reads come from PostgreSQL")
                : ngx_http_comanda_redis_refuses_writes(redis)
                    ? STR("takes no writes: see the error log; reads come from PostgreSQL")
                    : STR("away: reads come from PostgreSQL"));
}

// The edge itself needs no broker: orders are taken and wait in the log.
static void write_relay(struct json_writer *json, const struct word *word, bool *degraded)
{
    bool behind = word->relay_behind_s > RELAY_BEHIND_MAX_S;
    bool fine = !behind || word->held;
    *degraded |= behind;
    write_check(json, STR("relay"), fine,
                word->relay_behind_s < 0 ? STR("none has led yet")
                : !fine  ? STR("the log waits: RabbitMQ or comanda-relay is away or slow")
                : behind ? STR("it has published all that it may read")
                         : STR("the log is published"));
    write_check(
        json, STR("horizon"), !behind || !word->held,
        behind && word->held
            ? STR("a transaction that has not ended holds the log's readers back: comandactl "
                  "doctor names it")
            : STR("no transaction holds the log's readers back for long"));
}

// True: commands are refused.
static bool write_commands(struct json_writer *json,
                           const struct ngx_http_comanda_postgres *postgres, bool *degraded)
{
    bool stuck = ngx_http_comanda_postgres_is_stuck(postgres);
    bool some = ngx_http_comanda_postgres_kept_aside(postgres) > 0;
    *degraded |= some;
    write_check(json, STR("commands"), !some,
                stuck  ? STR("refused: as many writes as may be have no answer in time; does a "
                              "synchronous standby confirm nothing?")
                : some ? STR("some had no answer in time; does a synchronous standby confirm "
                             "nothing?")
                       : STR("taken"));
    return stuck;
}

static ngx_int_t answer_ready(ngx_http_request_t *r, const struct word *word)
{
    const struct ngx_http_comanda_store *store = ngx_http_comanda_store_of(r);
    u_char *memory = ngx_pnalloc(r->pool, READY_BYTES_MAX);
    struct buffer checks;
    struct json_writer json;
    bool degraded = false;
    bool fine = word->fine;
    buffer_init(&checks, NULL, READY_BYTES_MAX / 2);
    json_writer_init(&json, &checks);
    json_object_begin(&json);
    write_check(&json, STR("postgres"), word->fine, word->detail);
    if (store->postgres != NULL && write_commands(&json, store->postgres, &degraded)) {
        fine = false;
    }
    write_redis(&json, store->redis, &degraded);
    if (word->fine) {
        write_relay(&json, word, &degraded);
    }
    json_object_end(&json);
    if (memory == NULL || checks.status != STATUS_OK) {
        buffer_free(&checks);
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
    u_char *end = ngx_snprintf(memory, READY_BYTES_MAX, "{\"status\":\"%s\",\"checks\":%*s}",
                               !fine      ? "not ready"
                               : degraded ? "degraded"
                                          : "ready",
                               checks.len, checks.data);
    buffer_free(&checks);
    return ngx_http_comanda_send(r, fine ? NGX_HTTP_OK : NGX_HTTP_SERVICE_UNAVAILABLE,
                                 STR("application/json"),
                                 (struct str){(const char *)memory, (size_t)(end - memory)});
}

static ngx_int_t answer_down(ngx_http_request_t *r, struct str detail)
{
    const struct word down = {.fine = false, .detail = detail};
    return answer_ready(r, &down);
}

static void finish(struct probe *probe, const struct word *word)
{
    ngx_http_request_t *r = probe->request;
    ngx_connection_t *connection = r->connection;
    if (probe->deadline.timer_set) {
        ngx_del_timer(&probe->deadline);
    }
    ngx_http_finalize_request(r, answer_ready(r, word));
    ngx_http_run_posted_requests(connection);
}

static void finish_down(struct probe *probe, struct str detail)
{
    const struct word down = {.fine = false, .detail = detail};
    finish(probe, &down);
}

static void take_relay(struct ngx_http_comanda_read *read, enum status status,
                       const struct ngx_http_comanda_read_answer *answer)
{
    struct probe *probe = ngx_queue_data(read, struct probe, read);
    if (status != STATUS_OK) {
        finish_down(probe, str_from(status_text(status)));
        return;
    }
    const struct word up = {true, STR("connected"), answer->number, answer->held};
    finish(probe, &up);
}

// Told in the log once a worker, until it has been mended.
static bool lacks_rights(ngx_http_request_t *r, struct str lacking)
{
    static bool told;
    bool lacks = lacking.len > 0;
    if (lacks && !told) {
        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                      "comanda_postgres: %*s: grant it, or come as comanda_edge", lacking.len,
                      lacking.data);
    }
    told = lacks;
    return lacks;
}

static void take_version(struct ngx_http_comanda_read *read, enum status status,
                         const struct ngx_http_comanda_read_answer *answer)
{
    struct probe *probe = ngx_queue_data(read, struct probe, read);
    if (status == STATUS_OK && answer->number != migrate_version()) {
        finish_down(probe, STR("another schema version: run comandactl migrate"));
        return;
    }
    if (status == STATUS_OK && lacks_rights(probe->request, answer->lacking)) {
        finish_down(probe, answer->lacking);
        return;
    }
    if (status == STATUS_OK) {
        probe->read = (struct ngx_http_comanda_read){.kind = READ_RELAY, .done = take_relay};
        status = ngx_http_comanda_read_start(probe->reads, &probe->read);
    }
    if (status != STATUS_OK) {
        finish_down(probe, str_from(status_text(status)));
    }
}

static void abandon(void *data)
{
    struct probe *probe = data;
    ngx_http_comanda_read_cancel(probe->reads, &probe->read);
    if (probe->deadline.timer_set) {
        ngx_del_timer(&probe->deadline);
    }
}

static void pass_deadline(ngx_event_t *event)
{
    struct probe *probe = event->data;
    ngx_http_comanda_read_cancel(probe->reads, &probe->read);
    finish_down(probe, STR("no answer within a second"));
}

static struct probe *start_probe(ngx_http_request_t *r, struct ngx_http_comanda_reads *reads)
{
    struct probe *probe = ngx_pcalloc(r->pool, sizeof(*probe));
    ngx_http_cleanup_t *cleanup = ngx_http_cleanup_add(r, 0);
    if (probe == NULL || cleanup == NULL) {
        return NULL;
    }
    probe->request = r;
    probe->reads = reads;
    probe->read = (struct ngx_http_comanda_read){.kind = READ_SCHEMA, .done = take_version};
    probe->deadline =
        (ngx_event_t){.data = probe, .handler = pass_deadline, .log = r->connection->log};
    cleanup->handler = abandon;
    cleanup->data = probe;
    return probe;
}

static ngx_int_t serve_ready(ngx_http_request_t *r)
{
    const struct ngx_http_comanda_store *store = ngx_http_comanda_store_of(r);
    if (store->postgres == NULL) {
        return answer_down(r, STR("no comanda_postgres in the configuration"));
    }
    ngx_int_t rc = ngx_http_discard_request_body(r);
    struct probe *probe = rc == NGX_OK ? start_probe(r, store->command_reads) : NULL;
    if (probe == NULL) {
        return rc == NGX_OK ? NGX_HTTP_INTERNAL_SERVER_ERROR : rc;
    }
    enum status status = ngx_http_comanda_read_start(store->command_reads, &probe->read);
    if (status != STATUS_OK) {
        return answer_down(r, str_from(status_text(status)));
    }
    ngx_add_timer(&probe->deadline, READY_TIMEOUT_MS);
    r->main->count++;
    return NGX_DONE;
}

static ngx_int_t serve_live(ngx_http_request_t *r)
{
    return ngx_http_comanda_send(r, NGX_HTTP_OK, STR("application/json"),
                                 STR("{\"status\":\"live\"}"));
}

static char *set_health(ngx_conf_t *cf, ngx_command_t *directive, void *data)
{
    (void)directive;
    (void)data;
    const ngx_str_t *words = cf->args->elts;
    ngx_str_t public = ngx_null_string;
    struct str kind = ngx_http_comanda_str(words[1]);
    if (!str_eq(kind, STR("live")) && !str_eq(kind, STR("ready"))) {
        return "takes live or ready";
    }
    return ngx_http_comanda_content_set(cf, NGX_HTTP_GET | NGX_HTTP_HEAD,
                                        str_eq(kind, STR("live")) ? serve_live : serve_ready,
                                        public);
}

static ngx_command_t directives[] = {
    {.name = ngx_string("comanda_health"),
     .type = NGX_HTTP_LOC_CONF | NGX_CONF_TAKE1,
     .set = set_health,
     .conf = NGX_HTTP_LOC_CONF_OFFSET},
    ngx_null_command,
};

static ngx_http_module_t module_context;

ngx_module_t ngx_http_comanda_health_module = {
    NGX_MODULE_V1,           .ctx = &module_context, .commands = directives,
    .type = NGX_HTTP_MODULE, NGX_MODULE_V1_PADDING,
};
