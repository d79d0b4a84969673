// SPDX-License-Identifier: Apache-2.0
// Reads the `name=value` words of a directive by a table, each fault named with its line.
#pragma once

#include "core/comanda.h"

// One allowed word. Exactly one of the targets is set; it keeps its default when the word is
// absent.
struct ngx_http_comanda_setting {
    struct str name;
    ngx_uint_t *number;
    ngx_msec_t *msec;                    // "50ms", "2s"
    ngx_str_t *text;                     // not empty
    ngx_http_complex_value_t **variable; // may hold nginx variables
    int64_t min;                         // of number and msec
    int64_t max;
};

// Reads the words from index `first` on. The table ends with a name of data NULL. NGX_CONF_OK, or
// NGX_CONF_ERROR after the fault was logged.
char *ngx_http_comanda_read_settings(ngx_conf_t *cf, ngx_uint_t first,
                                     const struct ngx_http_comanda_setting *settings);

// Do all words `name=…` from index `first` on have names of their own? NGX_CONF_OK, or
// NGX_CONF_ERROR after the one that stands twice was logged. For directives without a table.
char *ngx_http_comanda_words_once(ngx_conf_t *cf, ngx_uint_t first);

// Is it one scope, as RFC 6749, 3.3 writes it? A token's are separated by spaces: no other ever
// matches.
bool ngx_http_comanda_is_scope(ngx_str_t word);

// Splits "name=value". False: there is no '='.
bool ngx_http_comanda_argument(ngx_str_t word, struct str *name, struct str *value);
