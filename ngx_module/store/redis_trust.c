// SPDX-License-Identifier: Apache-2.0
// What Redis is trusted with: which generation it is in, asked twice a second, and what it still
// owes after a write that it may not have done.
#include "core/random.h"
#include "store/redis_session.h"

// --- what is owed ---

struct ngx_http_comanda_redis_key ngx_http_comanda_redis_copy_key(struct str key)
{
    struct ngx_http_comanda_redis_key copy = {NULL, 0};
    if (key.len > 0) {
        copy.data = ngx_alloc(key.len, ngx_cycle->log);
    }
    if (copy.data != NULL) {
        ngx_memcpy(copy.data, key.data, key.len);
        copy.len = key.len;
    }
    return copy;
}

static void free_key(struct ngx_http_comanda_redis_key key)
{
    if (key.len > 0) {
        ngx_free(key.data);
    }
}

void ngx_http_comanda_redis_trust_owe(struct ngx_http_comanda_redis *redis,
                                      struct ngx_http_comanda_redis_key key)
{
    if (key.len == 0) {
        return;
    }
    if (redis->owed_count == REDIS_OWED_MAX) {
        free_key(key);
        redis_generation_spoil(&redis->generation);
        redis->usable = false;
        return;
    }
    redis->owed[redis->owed_count++] = key;
}

// A key that cannot be sent stays owed; one whose answer does not come is owed again.
void ngx_http_comanda_redis_trust_pay(struct ngx_http_comanda_redis *redis)
{
    while (redis->owed_count > 0) {
        struct ngx_http_comanda_redis_key *key = &redis->owed[redis->owed_count - 1];
        struct redis_command command = {0};
        redis_command_add(&command, STR("UNLINK"));
        redis_command_add(&command, (struct str){key->data, key->len});
        if (ngx_http_comanda_redis_send(redis, &command, NULL, (struct str){key->data, key->len}) !=
            STATUS_OK) {
            return;
        }
        free_key(*key);
        redis->owed_count--;
    }
}

// --- which generation this is ---

void ngx_http_comanda_redis_load_scripts(struct ngx_http_comanda_redis *redis)
{
    const struct redis_command put = redis_script_load(REDIS_SCRIPT_PUT);
    const struct redis_command generation = redis_script_load(REDIS_SCRIPT_GENERATION);
    ngx_http_comanda_redis_say(redis, &put, NULL);
    ngx_http_comanda_redis_say(redis, &generation, NULL);
}

// Documents of this generation may be older than what was refused. Whoever has noticed it brings
// the next one about, and the others hear of that within half a second.
static void note_refused_write(struct ngx_http_comanda_redis *redis, const char *words)
{
    redis_generation_spoil(&redis->generation);
    redis->usable = false;
    if (!redis->refuses_writes) {
        redis->refuses_writes = true;
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                      "comanda: Redis \"%*s\" takes no writes: %s; documents come from PostgreSQL "
                      "until it does",
                      redis->name.len, redis->name.data, words);
    }
}

static void ask(struct ngx_http_comanda_redis *redis)
{
    uint64_t random;
    ngx_http_comanda_random((unsigned char *)&random, sizeof(random));
    const struct redis_command command = redis_generation_ask(&redis->generation, random);
    redis->asked_at = ngx_current_msec;
    ngx_http_comanda_redis_say(redis, &command, &redis->ask);
}

static void take_generation(struct ngx_http_comanda_redis *redis, struct str mark)
{
    if (!redis_generation_take(&redis->generation, mark)) { // spoilt since it was asked
        redis->usable = false;
        return;
    }
    redis->usable = true;
    redis->loaded_again = false;
    redis->proved_at = redis->asked_at;
    if (redis->refuses_writes) {
        redis->refuses_writes = false;
        ngx_log_error(NGX_LOG_NOTICE, ngx_cycle->log, 0,
                      "comanda: Redis \"%*s\" takes writes again", redis->name.len,
                      redis->name.data);
    }
}

static void handle_generation(struct ngx_http_comanda_redis_op *op, enum status status,
                              struct str value)
{
    struct ngx_http_comanda_redis *redis = ngx_queue_data(op, struct ngx_http_comanda_redis, ask);
    if (status == STATUS_OK) {
        take_generation(redis, value);
    } else if (status == STATUS_REFUSED && !redis->loaded_again &&
               str_starts_with(value, STR("NOSCRIPT"))) {
        redis->loaded_again = true; // one that cannot keep it is asked at the next turn
        ngx_http_comanda_redis_load_scripts(redis);
        ask(redis);
    } else if (status == STATUS_REFUSED) {
        note_refused_write(redis, value.data);
    } else if (status != STATUS_UNAVAILABLE) {
        redis->usable = false;
    }
}

static void handle_look(ngx_event_t *event)
{
    struct ngx_http_comanda_redis *redis = event->data;
    redis->loaded_again = false;
    if (redis->ask.place == NULL) {
        ngx_http_comanda_redis_trust_pay(redis);
        ask(redis);
    }
    ngx_add_timer(event, REDIS_LOOK_EVERY_MS);
}

// --- writes that are refused ---

static void drop_key(struct ngx_http_comanda_redis_pending *pending)
{
    ngx_free(pending->key.data);
    pending->key = (struct ngx_http_comanda_redis_key){NULL, 0};
}

// A server that forgot the script gets the document once more, while whoever waits goes on waiting;
// what nobody holds any more is dropped there.
static void send_again(struct ngx_http_comanda_redis *redis,
                       struct ngx_http_comanda_redis_pending *pending)
{
    struct ngx_http_comanda_redis_op *op = pending->op;
    ngx_http_comanda_redis_load_scripts(redis);
    if (op == NULL || op->document == NULL) {
        return;
    }
    if (ngx_http_comanda_redis_put(redis, op->document, op) == STATUS_OK) {
        op->document = NULL; // not a third time
        pending->op = NULL;
        drop_key(pending);
    } else {
        op->place = &pending->op;
    }
}

void ngx_http_comanda_redis_trust_reply(struct ngx_http_comanda_redis *redis,
                                        const redisReply *reply)
{
    struct ngx_http_comanda_redis_pending *pending = &redis->pending[redis->first];
    if (pending->key.len == 0 || reply->type != REDIS_REPLY_ERROR) {
        return;
    }
    if (strncmp(reply->str, "NOSCRIPT", 8) == 0) {
        send_again(redis, pending);
    } else { // no document of this generation is read any more
        drop_key(pending);
        note_refused_write(redis, reply->str);
    }
}

// --- the life of a connection, and of a worker ---

void ngx_http_comanda_redis_trust_begin(struct ngx_http_comanda_redis *redis)
{
    ngx_http_comanda_redis_trust_pay(redis);
    ask(redis);
    ngx_add_timer(&redis->look, REDIS_LOOK_EVERY_MS);
}

void ngx_http_comanda_redis_trust_end(struct ngx_http_comanda_redis *redis)
{
    redis->usable = false;
    if (redis->look.timer_set) {
        ngx_del_timer(&redis->look);
    }
}

void ngx_http_comanda_redis_trust_init(struct ngx_http_comanda_redis *redis, ngx_log_t *log)
{
    redis->ask.done = handle_generation;
    redis->look = (ngx_event_t){.data = redis, .log = log, .handler = handle_look, .cancelable = 1};
}

void ngx_http_comanda_redis_trust_free(struct ngx_http_comanda_redis *redis)
{
    for (; redis->owed_count > 0; redis->owed_count--) {
        free_key(redis->owed[redis->owed_count - 1]);
    }
}
