// SPDX-License-Identifier: Apache-2.0
// Directive comanda_list: a collection by pages, one's own or what is public, by keyset.
#include "answer/answer.h"
#include "core/settings.h"
#include "guard/content.h"
#include "guard/guard.h"
#include "store/store.h"

#include "base/sha256.h"
#include "domain/bounded_context.h"
#include "infrastructure/token/base64url.h"

extern ngx_module_t ngx_http_comanda_list_module;

enum {
    LIMIT_DEFAULT = 20,
    LIMIT_MAX = 100,
    SEAL_LEN = 8,
    AFTER_BYTES_MAX = 512, // of a decoded place in a list
    ARGUMENT_SHOWN_MAX = 64,
};

struct loc_conf {
    const struct projection *projection;
    bool own; // the principal's; else what is public
    ngx_str_t scope;
    ngx_str_t filter; // name of the argument; empty: none
    ngx_str_t values; // "placed,confirmed": what it may be
};

// A list on its way.
struct list_request {
    ngx_http_request_t *request;
    const struct loc_conf *conf;
    struct ngx_http_comanda_reads *reads;
    struct ngx_http_comanda_read read;
    size_t limit;
    ngx_event_t deadline;
};

// ---- Arguments ----------------------------------------------------------------------------------

struct arguments {
    struct str limit;
    struct str after;
    struct str filter;
    bool has_limit;
    bool has_after;
    bool has_filter;
};

static ngx_int_t refuse_argument(ngx_http_request_t *r, struct str name, const char *what)
{
    u_char text[256];
    if (!str_is_text(name) || name.len > ARGUMENT_SHOWN_MAX) {
        name = STR("(too long, or no UTF-8)");
    }
    u_char *end =
        ngx_snprintf(text, sizeof(text), "the argument \"%*s\" %s", name.len, name.data, what);
    struct str detail =
        ngx_http_comanda_copy(r->pool, (struct str){(const char *)text, (size_t)(end - text)});
    return ngx_http_comanda_problem(r, NGX_HTTP_BAD_REQUEST, STR("bad-argument"), detail, NULL);
}

// Percent-decoding into the request's pool; data NULL: no memory.
static struct str decoded(ngx_http_request_t *r, struct str text)
{
    u_char *copy = ngx_pnalloc(r->pool, text.len + 1);
    if (copy == NULL) {
        return (struct str){NULL, 0};
    }
    u_char *to = copy;
    u_char *from = (u_char *)text.data;
    ngx_unescape_uri(&to, &from, text.len, 0);
    return (struct str){(const char *)copy, (size_t)(to - copy)};
}

static bool keep_argument(ngx_http_request_t *r, struct str value, struct str *place, bool *has)
{
    bool first = !*has;
    *has = true;
    *place = decoded(r, value);
    return first && place->data != NULL;
}

// NGX_DECLINED: all are known and stand once.
static ngx_int_t read_arguments(ngx_http_request_t *r, const struct loc_conf *conf,
                                struct arguments *arguments)
{
    struct str rest = ngx_http_comanda_str(r->args);
    while (rest.len > 0) {
        struct str pair;
        struct str name;
        struct str value;
        (void)str_split(rest, '&', &pair, &rest);
        if (pair.len == 0) {
            continue;
        }
        (void)str_split(pair, '=', &name, &value);
        bool kept;
        if (str_eq(name, STR("limit"))) {
            kept = keep_argument(r, value, &arguments->limit, &arguments->has_limit);
        } else if (str_eq(name, STR("after"))) {
            kept = keep_argument(r, value, &arguments->after, &arguments->has_after);
        } else if (conf->filter.len > 0 && str_eq(name, ngx_http_comanda_str(conf->filter))) {
            kept = keep_argument(r, value, &arguments->filter, &arguments->has_filter);
        } else {
            return refuse_argument(r, name, "is not known here");
        }
        if (!kept) {
            return refuse_argument(r, name, "stands twice");
        }
    }
    return NGX_DECLINED;
}

static bool is_one_of(struct str value, ngx_str_t values)
{
    struct str rest = ngx_http_comanda_str(values);
    while (rest.len > 0) {
        struct str one;
        (void)str_split(rest, ',', &one, &rest);
        if (str_eq(one, value)) {
            return true;
        }
    }
    return false;
}

// ---- The place in a list: the last sort key, sealed to whose list it is and how it is narrowed
// ---

// No secret: a list never shows more than its owner's whatever the place says. The seal tells an
// honest client that it has mixed up two lists.
static void seal_place(const struct document_page *page, struct str sort, unsigned char *seal)
{
    unsigned char digest[SHA256_LEN];
    struct str separator = {"", 1}; // a NUL, which none of them holds
    struct str pieces[] = {page->tenant, separator,    page->collection, separator, page->owner,
                           separator,    page->filter, separator,        sort};
    sha256(pieces, sizeof(pieces) / sizeof(pieces[0]), digest);
    ngx_memcpy(seal, digest, SEAL_LEN);
}

static bool open_place(ngx_http_request_t *r, struct str text, struct document_page *page)
{
    unsigned char seal[SEAL_LEN];
    size_t len = 0;
    if (text.len == 0 || base64url_decoded_max(text.len) > AFTER_BYTES_MAX) {
        return false;
    }
    unsigned char *bytes = ngx_pnalloc(r->pool, AFTER_BYTES_MAX);
    if (bytes == NULL || !base64url_decode(text, bytes, &len) || len <= SEAL_LEN) {
        return false;
    }
    struct str sort = {(const char *)bytes + SEAL_LEN, len - SEAL_LEN};
    seal_place(page, sort, seal);
    page->after = sort;
    return ngx_memcmp(seal, bytes, SEAL_LEN) == 0 && str_is_text(sort);
}

static void write_place(const struct document_page *page, struct str sort, struct buffer *out)
{
    unsigned char bytes[AFTER_BYTES_MAX];
    size_t len = sort.len < AFTER_BYTES_MAX - SEAL_LEN ? sort.len : AFTER_BYTES_MAX - SEAL_LEN;
    seal_place(page, sort, bytes);
    ngx_memcpy(bytes + SEAL_LEN, sort.data, len);
    base64url_encode(bytes, SEAL_LEN + len, out);
}

// ---- The answer ---------------------------------------------------------------------------------

static void write_list(const struct list_request *list,
                       const struct ngx_http_comanda_read_answer *answer, struct buffer *out)
{
    size_t shown = answer->document_count < list->limit ? answer->document_count : list->limit;
    buffer_add(out, STR("{\"items\":["));
    for (size_t i = 0; i < shown; i++) {
        if (i > 0) {
            buffer_add_char(out, ',');
        }
        buffer_add(out, answer->documents[i].body);
    }
    buffer_add(out, STR("],\"next\":"));
    if (answer->document_count <= list->limit) {
        buffer_add(out, STR("null}"));
        return;
    }
    buffer_add_char(out, '"');
    write_place(&list->read.page, answer->documents[shown - 1].sort, out);
    buffer_add(out, STR("\"}"));
}

static void free_buffer(void *data)
{
    buffer_free(data);
}

static ngx_int_t send_list(const struct list_request *list,
                           const struct ngx_http_comanda_read_answer *answer)
{
    ngx_http_request_t *r = list->request;
    ngx_pool_cleanup_t *cleanup = ngx_pool_cleanup_add(r->pool, sizeof(struct buffer));
    if (cleanup == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
    struct buffer *out = cleanup->data;
    buffer_init(out, NULL, (size_t)(LIMIT_MAX + 1) * DOCUMENT_BYTES_MAX);
    cleanup->handler = free_buffer;
    write_list(list, answer, out);
    if (out->status != STATUS_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
    return ngx_http_comanda_send(r, NGX_HTTP_OK, STR("application/json"), buffer_view(out));
}

static ngx_int_t send_unavailable(ngx_http_request_t *r)
{
    return ngx_http_comanda_problem(r, NGX_HTTP_SERVICE_UNAVAILABLE, STR("unavailable"),
                                    STR("the store is away or too slow: ask again later"), NULL);
}

static void finish(struct list_request *list, ngx_int_t rc)
{
    if (list->deadline.timer_set) {
        ngx_del_timer(&list->deadline); // a client may take longer to read the page
    }
    ngx_http_comanda_finish(list->request, rc);
}

static void take_page(struct ngx_http_comanda_read *read, enum status status,
                      const struct ngx_http_comanda_read_answer *answer)
{
    struct list_request *list = ngx_queue_data(read, struct list_request, read);
    if (status == STATUS_OK) {
        ngx_http_comanda_hear_store(list->request, NGX_HTTP_COMANDA_STORE_ANSWERED);
    }
    finish(list, status == STATUS_OK ? send_list(list, answer) : send_unavailable(list->request));
}

static void abandon(void *data)
{
    struct list_request *list = data;
    ngx_http_comanda_read_cancel(list->reads, &list->read);
    if (list->deadline.timer_set) {
        ngx_del_timer(&list->deadline);
    }
}

static void pass_deadline(ngx_event_t *event)
{
    struct list_request *list = event->data;
    ngx_http_comanda_read_cancel(list->reads, &list->read);
    ngx_http_comanda_hear_store(list->request, NGX_HTTP_COMANDA_STORE_SILENT);
    finish(list, send_unavailable(list->request));
}

// ---- The request --------------------------------------------------------------------------------

// NGX_DECLINED: the page is asked for as the arguments say.
static ngx_int_t make_page(ngx_http_request_t *r, struct list_request *list)
{
    const struct loc_conf *conf = list->conf;
    const struct ngx_http_comanda_principal *principal = ngx_http_comanda_principal(r);
    const struct ngx_http_comanda_store *store = ngx_http_comanda_store_of(r);
    struct arguments arguments = {0};
    int64_t limit = LIMIT_DEFAULT;
    ngx_int_t rc = read_arguments(r, conf, &arguments);
    if (rc != NGX_DECLINED) {
        return rc;
    }
    if (arguments.has_limit &&
        (!str_to_int64(arguments.limit, &limit) || limit < 1 || limit > LIMIT_MAX)) {
        return refuse_argument(r, STR("limit"), "must be a whole number from 1 to 100");
    }
    if (arguments.has_filter && !is_one_of(arguments.filter, conf->values)) {
        return refuse_argument(r, ngx_http_comanda_str(conf->filter), "has no such value");
    }
    list->limit = (size_t)limit;
    list->read.page = (struct document_page){
        .tenant = store->tenant,
        .collection = conf->projection->collection,
        .owner = conf->own ? principal->subject : STR(""),
        .filter = arguments.has_filter ? arguments.filter : STR(""),
        .after = STR(""),
        .newest_first = conf->projection->newest_first,
        .limit = list->limit + 1,
    };
    if (arguments.has_after && !open_place(r, arguments.after, &list->read.page)) {
        return refuse_argument(r, STR("after"), "must be the next of this very list");
    }
    return NGX_DECLINED;
}

static struct list_request *make_request(ngx_http_request_t *r,
                                         struct ngx_http_comanda_reads *reads)
{
    struct list_request *list = ngx_pcalloc(r->pool, sizeof(*list));
    ngx_http_cleanup_t *cleanup = ngx_http_cleanup_add(r, 0);
    if (list == NULL || cleanup == NULL) {
        return NULL;
    }
    list->request = r;
    list->conf = ngx_http_get_module_loc_conf(r, ngx_http_comanda_list_module);
    list->reads = reads;
    list->read = (struct ngx_http_comanda_read){.kind = READ_PAGE, .done = take_page};
    list->deadline =
        (ngx_event_t){.data = list, .handler = pass_deadline, .log = r->connection->log};
    cleanup->handler = abandon;
    cleanup->data = list;
    return list;
}

static ngx_int_t serve(ngx_http_request_t *r)
{
    const struct ngx_http_comanda_store *store = ngx_http_comanda_store_of(r);
    ngx_int_t rc = ngx_http_discard_request_body(r);
    if (rc != NGX_OK) {
        return rc;
    }
    struct list_request *list = make_request(r, store->reads);
    if (list == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
    rc = make_page(r, list);
    if (rc != NGX_DECLINED) {
        return rc;
    }
    if (ngx_http_comanda_read_start(store->reads, &list->read) != STATUS_OK) {
        return send_unavailable(r);
    }
    ngx_add_timer(&list->deadline, ngx_http_comanda_postgres_budget(store->postgres));
    r->main->count++;
    return NGX_DONE;
}

// ---- The directive ------------------------------------------------------------------------------

static char *check_conf(ngx_conf_t *cf, struct loc_conf *conf, ngx_str_t owner)
{
    conf->own = str_eq(ngx_http_comanda_str(owner), STR("own"));
    if (!conf->own && !str_eq(ngx_http_comanda_str(owner), STR("public"))) {
        return "needs owner=own or owner=public";
    }
    if (conf->own && conf->scope.len == 0) {
        return "needs scope=SCOPE with owner=own, so that there is a principal";
    }
    if ((conf->filter.len > 0) != (conf->values.len > 0)) {
        return "needs filter=NAME and values=A,B,C together";
    }
    if (ngx_http_comanda_store(cf)->postgres == NULL) {
        return "needs a comanda_postgres above";
    }
    return ngx_http_comanda_content_set(cf, NGX_HTTP_GET | NGX_HTTP_HEAD, serve, conf->scope);
}

static char *set_list(ngx_conf_t *cf, ngx_command_t *directive, void *data)
{
    (void)directive;
    struct loc_conf *conf = data;
    const ngx_str_t *words = cf->args->elts;
    ngx_str_t owner = ngx_null_string;
    struct ngx_http_comanda_setting settings[] = {
        {.name = STR("owner"), .text = &owner},
        {.name = STR("scope"), .text = &conf->scope},
        {.name = STR("filter"), .text = &conf->filter},
        {.name = STR("values"), .text = &conf->values},
        {.name = {NULL, 0}},
    };
    conf->projection = context_projection(ngx_http_comanda_str(words[1]));
    if (conf->projection == NULL) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "comanda_list: there is no collection \"%V\"",
                           &words[1]);
        return NGX_CONF_ERROR;
    }
    char *rc = ngx_http_comanda_read_settings(cf, 2, settings);
    return rc == NGX_CONF_OK ? check_conf(cf, conf, owner) : rc;
}

static void *create_loc_conf(ngx_conf_t *cf)
{
    return ngx_pcalloc(cf->pool, sizeof(struct loc_conf));
}

// An `if` or a `limit_except` within a location is the same location.
static char *merge_loc_conf(ngx_conf_t *cf, void *parent, void *child)
{
    struct loc_conf *conf = child;
    const ngx_http_core_loc_conf_t *core =
        ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);
    if (core->noname && conf->projection == NULL) {
        *conf = *(struct loc_conf *)parent;
    }
    return NGX_CONF_OK;
}

static ngx_command_t directives[] = {
    {.name = ngx_string("comanda_list"),
     .type = NGX_HTTP_LOC_CONF | NGX_CONF_2MORE,
     .set = set_list,
     .conf = NGX_HTTP_LOC_CONF_OFFSET},
    ngx_null_command,
};

static ngx_http_module_t module_context = {
    .create_loc_conf = create_loc_conf,
    .merge_loc_conf = merge_loc_conf,
};

ngx_module_t ngx_http_comanda_list_module = {
    NGX_MODULE_V1,           .ctx = &module_context, .commands = directives,
    .type = NGX_HTTP_MODULE, NGX_MODULE_V1_PADDING,
};
