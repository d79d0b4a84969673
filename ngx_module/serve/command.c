// SPDX-License-Identifier: Apache-2.0
// comanda_command: a location that takes one command, decides it and appends its events. Here the
// directive, and what is read of a request before its command runs.
#include "serve/command.h"

#include "answer/answer.h"
#include "application/command/entity_tag.h"
#include "application/command/idempotency_key.h"
#include "core/random.h"
#include "core/settings.h"
#include "guard/content.h"
#include "guard/guard.h"

enum {
    KEY_RETENTION_DAYS = 7,
    ATTEMPTS_MAX = 5, // load, decide, append
    STATUS_DEFAULT_CREATES = 201,
    STATUS_DEFAULT = 202,
};

static const int64_t key_retention_ms = (int64_t)KEY_RETENTION_DAYS * 24 * 3600 * 1000;

// A request that never becomes a command. It is counted here; what is not answered when its request
// ends counts as left by its client.
static ngx_int_t refuse(ngx_http_request_t *r, ngx_uint_t status, struct str slug,
                        struct str detail)
{
    const struct ngx_http_comanda_command_conf *conf =
        ngx_http_get_module_loc_conf(r, ngx_http_comanda_command_module);
    struct ngx_http_comanda_command_job *job =
        ngx_http_get_module_ctx(r, ngx_http_comanda_command_module);
    if (job != NULL) {
        job->answered = true;
    }
    ngx_http_comanda_metric_add(
        conf->outcomes[status == NGX_HTTP_NOT_FOUND ? OUTCOME_NOT_FOUND : OUTCOME_MALFORMED], 1);
    return ngx_http_comanda_problem(r, status, slug, detail, NULL);
}

// --- headers ---

// application/json once, with any parameters; nothing that would have to be decoded first.
static bool is_json(ngx_http_request_t *r)
{
    static const char wanted[] = "application/json";
    ngx_uint_t encodings;
    ngx_uint_t types;
    struct str header = ngx_http_comanda_header(r, STR("content-type"), &types);
    (void)ngx_http_comanda_header(r, STR("content-encoding"), &encodings);
    if (types != 1 || encodings > 0) {
        return false;
    }
    struct str type, parameters;
    (void)str_split(header, ';', &type, &parameters);
    while (type.len > 0 && (type.data[type.len - 1] == ' ' || type.data[type.len - 1] == '\t')) {
        type.len--;
    }
    return type.len == sizeof(wanted) - 1 &&
           ngx_strncasecmp((u_char *)type.data, (u_char *)wanted, type.len) == 0;
}

static ngx_int_t read_key(ngx_http_request_t *r, struct ngx_http_comanda_command_job *job)
{
    ngx_uint_t count;
    struct str header = ngx_http_comanda_header(r, STR("idempotency-key"), &count);
    struct str key;
    if (count == 0) {
        return refuse(r, NGX_HTTP_BAD_REQUEST, STR("idempotency-key-missing"),
                      STR("send an Idempotency-Key, best a new UUID version 7 for each command"));
    }
    if (count > 1 || !idempotency_key_read(header, &key)) {
        return refuse(r, NGX_HTTP_BAD_REQUEST, STR("idempotency-key-invalid"),
                      STR("send one Idempotency-Key of 1 to 255 characters A-Za-z0-9_.:-"));
    }
    if (!idempotency_key_is_current(key, job->request.now, key_retention_ms)) {
        return refuse(r, NGX_HTTP_BAD_REQUEST, STR("idempotency-key-expired"),
                      STR("the time in this UUID version 7 is more than 7 days ago or 5 minutes "
                          "ahead; look whether the command was done before you send it with a "
                          "new key"));
    }
    job->request.has_key = true;
    job->request.key.id = idempotency_key_id(job->request.tenant, job->request.subject, key);
    return NGX_DECLINED;
}

static ngx_int_t read_precondition(ngx_http_request_t *r, struct ngx_http_comanda_command_job *job)
{
    const ngx_table_elt_t *header = r->headers_in.if_match;
    if (header == NULL) {
        return NGX_DECLINED;
    }
    if (!entity_tag_read_match(ngx_http_comanda_str(header->value), &job->request.if_match)) {
        return refuse(r, NGX_HTTP_BAD_REQUEST, STR("bad-argument"),
                      STR("If-Match: give *, or up to 16 entity tags such as \"3\""));
    }
    return NGX_DECLINED;
}

// The id in the path of a command on something that exists; anything else names nothing.
static ngx_int_t read_target(ngx_http_request_t *r, struct ngx_http_comanda_command_job *job)
{
    const struct ngx_http_comanda_command_conf *conf = job->conf;
    if (conf->target == NULL) {
        unsigned char random[10];
        ngx_http_comanda_random(random, sizeof(random));
        job->request.target = uuid_v7(job->request.now / 1000, random);
        return NGX_DECLINED;
    }
    ngx_str_t text;
    if (ngx_http_complex_value(r, conf->target, &text) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
    if (!uuid_parse(ngx_http_comanda_str(text), false, &job->request.target)) {
        return refuse(r, NGX_HTTP_NOT_FOUND, STR("not-found"), STR("there is no such thing"));
    }
    return NGX_DECLINED;
}

// Views of the request's headers and pool end with it; the command may outlive it.
static struct str keep(struct ngx_http_comanda_command_job *job, struct str text)
{
    return text.len == 0 ? (struct str){"", 0} : arena_str(&job->arena, text);
}

static bool fill_request(ngx_http_request_t *r, struct ngx_http_comanda_command_job *job,
                         const struct ngx_http_comanda_principal *principal)
{
    const ngx_time_t *now = ngx_timeofday();
    job->request = (struct command_request){
        .type = job->conf->type,
        .tenant = job->conf->store->tenant,
        .subject = keep(job, principal->subject),
        .success_status = (int16_t)job->conf->status,
        .correlation_id = keep(job, ngx_http_comanda_correlation_id(r)),
        .traceparent = keep(job, ngx_http_comanda_traceparent(r)),
        .now = ((instant_us)now->sec * 1000 + (instant_us)now->msec) * 1000,
        .attempts_max = ATTEMPTS_MAX,
    };
    for (size_t i = 0; i < sizeof(job->request.event_ids) / sizeof(job->request.event_ids[0]);
         i++) {
        unsigned char random[10];
        ngx_http_comanda_random(random, sizeof(random));
        job->request.event_ids[i] = uuid_v7(job->request.now / 1000, random);
    }
    return job->request.subject.data != NULL && job->request.correlation_id.data != NULL &&
           job->request.traceparent.data != NULL;
}

// --- the body ---

static ngx_int_t refuse_large(ngx_http_request_t *r)
{
    return refuse(r, NGX_HTTP_REQUEST_ENTITY_TOO_LARGE, STR("content-too-large"),
                  STR("a command's body is at most 64 KiB"));
}

static size_t body_len(const ngx_http_request_body_t *body)
{
    size_t len = 0;
    for (const ngx_chain_t *link = body->bufs; link != NULL; link = link->next) {
        len += (size_t)ngx_buf_size(link->buf);
    }
    return len;
}

static bool copy_buf(ngx_buf_t *buf, u_char *to)
{
    if (ngx_buf_in_memory(buf)) {
        ngx_memcpy(to, buf->pos, (size_t)(buf->last - buf->pos));
        return true;
    }
    size_t len = (size_t)(buf->file_last - buf->file_pos);
    return ngx_read_file(buf->file, to, len, buf->file_pos) == (ssize_t)len;
}

static bool copy_body(struct ngx_http_comanda_command_job *job, const ngx_http_request_body_t *body,
                      size_t len)
{
    u_char *bytes = arena_alloc(&job->arena, len + 1);
    if (bytes == NULL) {
        return false;
    }
    job->request.body = (struct str){(const char *)bytes, len};
    for (ngx_chain_t *link = body->bufs; link != NULL; link = link->next) {
        size_t part = (size_t)ngx_buf_size(link->buf);
        if (part > 0 && !copy_buf(link->buf, bytes)) {
            return false;
        }
        bytes += part;
    }
    return true;
}

static void handle_body(ngx_http_request_t *r)
{
    static const ngx_http_request_body_t none;
    struct ngx_http_comanda_command_job *job =
        ngx_http_get_module_ctx(r, ngx_http_comanda_command_module);
    const ngx_http_request_body_t *body = r->request_body == NULL ? &none : r->request_body;
    size_t len = body_len(body);
    if (len > BODY_BYTES_MAX) {
        ngx_http_finalize_request(r, refuse_large(r));
        return;
    }
    if (!copy_body(job, body, len)) {
        ngx_http_finalize_request(r, NGX_HTTP_INTERNAL_SERVER_ERROR);
        return;
    }
    idempotency_key_fingerprint(ngx_http_comanda_str(r->method_name), ngx_http_comanda_str(r->uri),
                                job->request.body, job->request.key.fingerprint);
    ngx_http_comanda_command_run(job);
}

// --- the handler ---

static ngx_int_t read_headers(ngx_http_request_t *r, struct ngx_http_comanda_command_job *job,
                              const struct ngx_http_comanda_principal *principal)
{
    if (!fill_request(r, job, principal)) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
    ngx_int_t rc = read_target(r, job);
    if (rc == NGX_DECLINED) {
        rc = read_key(r, job);
    }
    if (rc == NGX_DECLINED) {
        rc = read_precondition(r, job);
    }
    return rc;
}

// Method, principal and scope are checked by the location's content.
static ngx_int_t handle_command(ngx_http_request_t *r)
{
    const struct ngx_http_comanda_principal *principal = ngx_http_comanda_principal(r);
    if (principal == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
    if (r->headers_in.content_length_n > BODY_BYTES_MAX) { // core does not look in a named location
        return refuse_large(r);
    }
    if (!is_json(r)) {
        return refuse(r, NGX_HTTP_UNSUPPORTED_MEDIA_TYPE, STR("unsupported-media-type"),
                      STR("send application/json, once, without a Content-Encoding"));
    }
    struct ngx_http_comanda_command_job *job = ngx_http_comanda_command_job_new(
        r, ngx_http_get_module_loc_conf(r, ngx_http_comanda_command_module));
    if (job == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
    ngx_http_set_ctx(r, job, ngx_http_comanda_command_module);
    ngx_int_t rc = read_headers(r, job, principal);
    if (rc != NGX_DECLINED) {
        return rc;
    }
    r->request_body_in_single_buf = 1;
    rc = ngx_http_read_client_request_body(r, handle_body);
    return rc >= NGX_HTTP_SPECIAL_RESPONSE ? rc : NGX_DONE;
}

// --- the directive ---

static void *create_loc_conf(ngx_conf_t *cf)
{
    return ngx_pcalloc(cf->pool, sizeof(struct ngx_http_comanda_command_conf));
}

// An `if` or a `limit_except` within a location is the same location.
static char *merge_loc_conf(ngx_conf_t *cf, void *parent, void *child)
{
    struct ngx_http_comanda_command_conf *conf = child;
    const ngx_http_core_loc_conf_t *core =
        ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);
    if (core->noname && conf->type == NULL) {
        *conf = *(struct ngx_http_comanda_command_conf *)parent;
    }
    return NGX_CONF_OK;
}

static void declare_outcomes(ngx_conf_t *cf, struct ngx_http_comanda_command_conf *conf)
{
    static const char *const names[OUTCOMES] = {
        "accepted", "unchanged",           "replayed",   "malformed", "invalid",     "not_found",
        "rejected", "precondition_failed", "key_reused", "in_flight", "unavailable", "unknown",
        "failed",   "long_stream",         "too_large",  "aborted"};
    for (size_t i = 0; i < OUTCOMES; i++) {
        u_char labels[192];
        u_char *end = ngx_snprintf(labels, sizeof(labels), "command=\"%V\",outcome=\"%s\"",
                                   &conf->name, names[i]);
        conf->outcomes[i] =
            ngx_http_comanda_counter(cf, "comanda_commands_total", "Commands by outcome.",
                                     (struct str){(const char *)labels, (size_t)(end - labels)});
    }
}

static char *fault(ngx_conf_t *cf, const char *what)
{
    ngx_str_t *words = cf->args->elts;
    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "comanda_command \"%V\": %s", &words[1], what);
    return NGX_CONF_ERROR;
}

static char *read_words(ngx_conf_t *cf, struct ngx_http_comanda_command_conf *conf)
{
    ngx_str_t priority = ngx_string("normal");
    const struct ngx_http_comanda_setting settings[] = {
        {.name = STR("target"), .variable = &conf->target},
        {.name = STR("location"), .text = &conf->location},
        {.name = STR("scope"), .text = &conf->scope},
        {.name = STR("status"), .number = &conf->status, .min = 200, .max = 299},
        {.name = STR("priority"), .text = &priority},
        {.name = {NULL, 0}},
    };
    char *rc = ngx_http_comanda_read_settings(cf, 2, settings);
    if (rc != NGX_CONF_OK) {
        return rc;
    }
    conf->high = str_eq(ngx_http_comanda_str(priority), STR("high"));
    if (!conf->high && !str_eq(ngx_http_comanda_str(priority), STR("normal"))) {
        return fault(cf, "priority is high or normal");
    }
    if (conf->scope.len == 0) {
        return fault(cf, "needs scope=: what a token must hold to send it");
    }
    if (conf->type->creates && conf->target != NULL) {
        return fault(cf, "creates something new and so has no target=");
    }
    if (!conf->type->creates && conf->target == NULL) {
        return fault(cf, "acts on something that exists: say which by target=$variable");
    }
    return NGX_CONF_OK;
}

static char *set_command(ngx_conf_t *cf, ngx_command_t *directive, void *data)
{
    (void)directive;
    struct ngx_http_comanda_command_conf *conf = data;
    ngx_str_t *words = cf->args->elts;
    if (conf->type != NULL) {
        return "is duplicate";
    }
    conf->name = words[1];
    conf->store = ngx_http_comanda_store(cf);
    conf->type = context_command(ngx_http_comanda_str(conf->name));
    if (conf->type == NULL) {
        return fault(cf, "no context in this module has a command of that name");
    }
    if (conf->store->postgres == NULL) {
        return fault(cf, "needs a comanda_postgres in http {}, before this line");
    }
    conf->status = conf->type->creates ? STATUS_DEFAULT_CREATES : STATUS_DEFAULT;
    char *rc = read_words(cf, conf);
    if (rc != NGX_CONF_OK) {
        return rc;
    }
    declare_outcomes(cf, conf);
    return ngx_http_comanda_content_set(cf, NGX_HTTP_POST, handle_command, conf->scope);
}

static ngx_command_t directives[] = {
    {.name = ngx_string("comanda_command"),
     .type = NGX_HTTP_LOC_CONF | NGX_CONF_1MORE,
     .set = set_command,
     .conf = NGX_HTTP_LOC_CONF_OFFSET},
    ngx_null_command,
};

static void exit_process(ngx_cycle_t *cycle)
{
    (void)cycle;
    ngx_http_comanda_command_jobs_free();
}

static ngx_http_module_t module_context = {
    .create_loc_conf = create_loc_conf,
    .merge_loc_conf = merge_loc_conf,
};

ngx_module_t ngx_http_comanda_command_module = {
    NGX_MODULE_V1,           .ctx = &module_context,       .commands = directives,
    .type = NGX_HTTP_MODULE, .exit_process = exit_process, NGX_MODULE_V1_PADDING,
};
