// SPDX-License-Identifier: Apache-2.0
// What is sent to Redis as one command, and the two scripts that Redis runs for us.
#include "infrastructure/redis/script.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>

// KEYS: the document. ARGV: generation, version, value. A value that is no document of this
// generation (older, cut, foreign, of another type) counts as none and is replaced. Versions stay
// below 2^31, so Lua's doubles compare them exactly. Where the memory is full SET is refused, but
// UNLINK is not: better no document than an older one.
#define PUT_SCRIPT                                                                           \
    "local head = redis.pcall('GETRANGE', KEYS[1], 0, 63)\n"                                 \
    "if type(head) == 'string' then\n"                                                       \
    "  local known, left, at = string.match(head, '^' .. ARGV[1] .. ' (%d+) (%d+) ()')\n"    \
    "  if known and tonumber(known) >= tonumber(ARGV[2])\n"                                  \
    "      and redis.call('STRLEN', KEYS[1]) == at - 1 + tonumber(left) then return 0 end\n" \
    "end\n"                                                                                  \
    "local done = redis.pcall('SET', KEYS[1], ARGV[3])\n"                                    \
    "if not done.err then return 1 end\n"                                                    \
    "if type(redis.pcall('UNLINK', KEYS[1])) == 'number' then return 2 end\n"                \
    "return done\n"

// KEYS: the mark, and a key that never is. ARGV: a fresh generation, the mark as the caller knows
// it, a generation that must not stay. The mark is the generation and the server that it holds for:
// another process, or another line of replication, begins another one. UNLINK of what is not there
// changes nothing, but is refused wherever writes are (READONLY, MISCONF, NOREPLICAS).
#define GENERATION_SCRIPT                                                                         \
    "local run = string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')\n"                    \
    "local line = string.match(redis.call('INFO', 'replication'), 'master_replid:(%x+)')\n"       \
    "local here = ' ' .. run .. ' ' .. line\n"                                                    \
    "local kept = redis.pcall('GET', KEYS[1])\n"                                                  \
    "if type(kept) == 'table' and not string.find(kept.err, '^WRONGTYPE') then return kept end\n" \
    "local mark = type(kept) == 'string' and kept or ARGV[2]\n"                                   \
    "if string.sub(mark, 17) ~= here or string.sub(mark, 1, 16) == ARGV[3] then\n"                \
    "  mark = ARGV[1] .. here\n"                                                                  \
    "end\n"                                                                                       \
    "if mark ~= kept then redis.call('SET', KEYS[1], mark) else redis.call('UNLINK', KEYS[2]) "   \
    "end\n"                                                                                       \
    "return mark\n"

enum { SHA1_LEN = 20, SHA1_TEXT_LEN = 2 * SHA1_LEN };

void redis_command_add(struct redis_command *command, struct str arg)
{
    command->argv[command->argc] = arg.data;
    command->lengths[command->argc] = arg.len;
    command->argc++;
}

struct str redis_script_text(enum redis_script script)
{
    return script == REDIS_SCRIPT_PUT ? STR(PUT_SCRIPT) : STR(GENERATION_SCRIPT);
}

struct str redis_script_sha1(enum redis_script script)
{
    static _Thread_local char texts[REDIS_SCRIPTS][SHA1_TEXT_LEN + 1]; // daemons: a thread a loop
    char *text = texts[script];
    if (text[0] == '\0') {
        struct str body = redis_script_text(script);
        unsigned char digest[EVP_MAX_MD_SIZE];
        unsigned int len = 0;
        if (EVP_Digest(body.data, body.len, digest, &len, EVP_sha1(), NULL) != 1) {
            abort(); // OpenSSL without SHA-1: nothing here could work
        }
        for (size_t at = 0; at < SHA1_LEN; at++) {
            snprintf(text + 2 * at, 3, "%02x", digest[at]);
        }
    }
    return (struct str){text, SHA1_TEXT_LEN};
}

struct redis_command redis_script_load(enum redis_script script)
{
    struct redis_command command = {0};
    redis_command_add(&command, STR("SCRIPT"));
    redis_command_add(&command, STR("LOAD"));
    redis_command_add(&command, redis_script_text(script));
    return command;
}
