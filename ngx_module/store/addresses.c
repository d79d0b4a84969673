// SPDX-License-Identifier: Apache-2.0
// The addresses of PostgreSQL in each of the turns in which a session tries them.
#include "store/addresses.h"

static ngx_uint_t count_entries(const char *list)
{
    ngx_uint_t count = list == NULL ? 0 : 1;
    for (; count > 0 && *list != '\0'; list++) {
        count += *list == ',';
    }
    return count;
}

// The list from its entry `first` on, and then what stands before it. False: no memory.
static bool turn(ngx_pool_t *pool, const char *list, ngx_uint_t first, const char **turned)
{
    if (count_entries(list) <= 1 || first == 0) {
        *turned = list;
        return true;
    }
    const char *rest = list;
    for (ngx_uint_t i = 0; i < first; i++) {
        rest = strchr(rest, ',') + 1;
    }
    size_t rest_len = strlen(rest);
    size_t before_len = (size_t)(rest - list) - 1; // without its last comma
    u_char *text = ngx_pnalloc(pool, rest_len + 1 + before_len + 1);
    if (text == NULL) {
        return false;
    }
    *turned = (const char *)text;
    text = ngx_cpymem(text, rest, rest_len);
    *text++ = ',';
    text = ngx_cpymem(text, list, before_len);
    *text = '\0';
    return true;
}

ngx_uint_t ngx_http_comanda_addresses_turn(
    ngx_pool_t *pool, struct ngx_http_comanda_addresses given,
    struct ngx_http_comanda_addresses turns[NGX_HTTP_COMANDA_ADDRESSES_MAX], const char **what)
{
    ngx_uint_t hosts = count_entries(given.host);
    ngx_uint_t count = given.hostaddr == NULL ? hosts : count_entries(given.hostaddr);
    ngx_uint_t ports = count_entries(given.port);
    if ((given.host != NULL && hosts != count) || (ports > 1 && ports != count)) {
        *what = "give as many host as hostaddr, and one port or as many as those";
        return 0;
    }
    count = count > NGX_HTTP_COMANDA_ADDRESSES_MAX ? 1 : ngx_max(count, 1);
    for (ngx_uint_t i = 0; i < count; i++) {
        if (!turn(pool, given.host, i, &turns[i].host) ||
            !turn(pool, given.hostaddr, i, &turns[i].hostaddr) ||
            !turn(pool, given.port, i, &turns[i].port)) {
            *what = "no memory";
            return 0;
        }
    }
    return count;
}
