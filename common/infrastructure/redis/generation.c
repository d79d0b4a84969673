// SPDX-License-Identifier: Apache-2.0
// Which life of Redis a value was written in.
#include "infrastructure/redis/generation.h"

#include <stdio.h>
#include <string.h>

// No tenant is empty, so no document has these keys. One slot, for a server in cluster mode.
static const char mark_key[] = "comanda:doc::{generation}";
static const char no_key[] = "comanda:doc::{generation}none";

struct str redis_generation_name(const struct redis_generation *generation)
{
    bool trusted = generation->mark[0] != '\0' &&
                   memcmp(generation->mark, generation->spoilt, REDIS_GENERATION_LEN) != 0;
    return (struct str){generation->mark, trusted ? REDIS_GENERATION_LEN : 0};
}

struct redis_command redis_generation_ask(struct redis_generation *generation, uint64_t random)
{
    struct redis_command command = {0};
    snprintf(generation->fresh, sizeof(generation->fresh), "%016llx", (unsigned long long)random);
    redis_command_add(&command, STR("EVALSHA"));
    redis_command_add(&command, redis_script_sha1(REDIS_SCRIPT_GENERATION));
    redis_command_add(&command, STR("2"));
    redis_command_add(&command, (struct str){mark_key, sizeof(mark_key) - 1});
    redis_command_add(&command, (struct str){no_key, sizeof(no_key) - 1});
    redis_command_add(&command, str_from(generation->fresh));
    redis_command_add(&command, str_from(generation->mark));
    redis_command_add(&command, str_from(generation->spoilt));
    return command;
}

static bool is_mark(struct str answer)
{
    if (answer.len <= REDIS_GENERATION_LEN || answer.len > REDIS_MARK_MAX ||
        answer.data[REDIS_GENERATION_LEN] != ' ') {
        return false;
    }
    return strspn(answer.data, "0123456789abcdef") == REDIS_GENERATION_LEN &&
           memchr(answer.data, '\0', answer.len) == NULL;
}

bool redis_generation_take(struct redis_generation *generation, struct str answer)
{
    generation->mark[0] = '\0';
    if (!is_mark(answer)) {
        return false;
    }
    memcpy(generation->mark, answer.data, answer.len);
    generation->mark[answer.len] = '\0';
    return redis_generation_name(generation).len > 0;
}

void redis_generation_spoil(struct redis_generation *generation)
{
    if (generation->mark[0] != '\0') {
        memcpy(generation->spoilt, generation->mark, REDIS_GENERATION_LEN);
    }
}
