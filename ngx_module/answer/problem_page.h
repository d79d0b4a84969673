// SPDX-License-Identifier: Apache-2.0
// What each status means in words: titles of problems, and the problems that stand for nginx's own
// error pages.
#pragma once

#include "core/comanda.h"

// Of any status from 400 on: RFC 9110's reason phrase, or "Error".
struct str ngx_http_comanda_problem_title(ngx_uint_t status);

struct ngx_http_comanda_problem_page {
    ngx_uint_t status;
    struct str slug;
    struct str detail;
};

// The problem that replaces nginx's own page of this status.
struct ngx_http_comanda_problem_page ngx_http_comanda_problem_page(ngx_uint_t status);
