// SPDX-License-Identifier: Apache-2.0
// Random bytes of the kernel, a page at a time.
#include "core/random.h"

#include <errno.h>
#include <ngx_config.h>
#include <ngx_core.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

enum { POOL_BYTES = 4096 };

static unsigned char pool[POOL_BYTES];
static size_t used = POOL_BYTES;
static ngx_pid_t owner; // a pool filled before a fork would give both processes the same ids

static void fill_pool(void)
{
    size_t filled = 0;
    while (filled < sizeof(pool)) {
        ssize_t got = getrandom(pool + filled, sizeof(pool) - filled, 0);
        if (got > 0) {
            filled += (size_t)got;
        } else if (got == 0 || errno != EINTR) {
            abort();
        }
    }
    used = 0;
    owner = ngx_pid;
}

void ngx_http_comanda_random(unsigned char *bytes, size_t len)
{
    if (len > sizeof(pool) - used || owner != ngx_pid) {
        fill_pool();
    }
    memcpy(bytes, pool + used, len);
    memset(pool + used, 0, len); // what was given out is nobody's to read again
    used += len;
}
