// SPDX-License-Identifier: Apache-2.0
// Views and copies of nginx's strings, and request headers that nginx keeps no field for.
#include "core/comanda.h"

struct str ngx_http_comanda_header(ngx_http_request_t *r, struct str lowcase_name,
                                   ngx_uint_t *count)
{
    struct str value = {NULL, 0};
    *count = 0;
    for (const ngx_list_part_t *part = &r->headers_in.headers.part; part; part = part->next) {
        const ngx_table_elt_t *headers = part->elts;
        for (ngx_uint_t i = 0; i < part->nelts; i++) {
            if (headers[i].key.len == lowcase_name.len &&
                ngx_memcmp(headers[i].lowcase_key, lowcase_name.data, lowcase_name.len) == 0) {
                value = ngx_http_comanda_str(headers[i].value);
                (*count)++;
            }
        }
    }
    return value;
}

struct str ngx_http_comanda_copy(ngx_pool_t *pool, struct str text)
{
    u_char *copy = ngx_pnalloc(pool, text.len + 1);
    if (copy == NULL) {
        return (struct str){NULL, 0};
    }
    *ngx_cpymem(copy, text.data, text.len) = '\0';
    return (struct str){(const char *)copy, text.len};
}
