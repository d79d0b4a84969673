// SPDX-License-Identifier: Apache-2.0
// Directive comanda_metrics: the metrics of all workers as Prometheus text.
#include "answer/answer.h"
#include "guard/content.h"
#include "observe/metrics.h"

extern ngx_module_t ngx_http_comanda_metrics_page_module;

static void release_buffer(void *data)
{
    buffer_free(data);
}

static ngx_int_t answer_metrics(ngx_http_request_t *r)
{
    ngx_pool_cleanup_t *cleanup = ngx_pool_cleanup_add(r->pool, sizeof(struct buffer));
    if (cleanup == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
    struct buffer *out = cleanup->data;
    buffer_init(out, NULL, ngx_http_comanda_metrics_bytes_max(r));
    cleanup->handler = release_buffer;
    ngx_http_comanda_metrics_write(r, out);
    if (out->status != STATUS_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
    return ngx_http_comanda_send(r, NGX_HTTP_OK, STR("text/plain; version=0.0.4; charset=utf-8"),
                                 buffer_view(out));
}

static char *set_metrics(ngx_conf_t *cf, ngx_command_t *directive, void *data)
{
    (void)directive;
    (void)data;
    ngx_str_t public = ngx_null_string;
    return ngx_http_comanda_content_set(cf, NGX_HTTP_GET | NGX_HTTP_HEAD, answer_metrics, public);
}

static ngx_command_t directives[] = {
    {.name = ngx_string("comanda_metrics"),
     .type = NGX_HTTP_LOC_CONF | NGX_CONF_NOARGS,
     .set = set_metrics},
    ngx_null_command,
};

static ngx_http_module_t module_context;

ngx_module_t ngx_http_comanda_metrics_page_module = {
    NGX_MODULE_V1,           .ctx = &module_context, .commands = directives,
    .type = NGX_HTTP_MODULE, NGX_MODULE_V1_PADDING,
};
