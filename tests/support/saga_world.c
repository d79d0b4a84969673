// SPDX-License-Identifier: Apache-2.0
// A world for searching the saga: the real engine and deciders over the store in memory, messages
// in any order and twice, timers at any moment, workers that crash or stall.
#include "saga_world.h"

#include <stdlib.h>

#include "application/handler/command_handler.h"
#include "infrastructure/memory/event_store_memory.h"
#include "saga_world_parts.h"

static const char *const mistake_names[MISTAKE_COUNT] = {
    "none",
    "a retry under the same command id",
    "a timeout compensates confirm",
    "the step in flight is not covered",
    "a saga append without version check",
    "a provider key per attempt",
    "confirm blind to cancelling",
    "an old timer counts",
    "a reply counts for another step",
    "a compensation does not ask the provider",
    "void overtakes authorize and leaves no mark in the stream",
    "void overtakes authorize and leaves no mark at the provider",
    "refund overtakes capture, undoes it alone and ends the stream",
    "a second ok of capture is refunded",
    "a timer that is put off is lost",
    "a step that waited too long is not covered",
    "the end of patience compensates confirm"};

const char *saga_mistake_name(enum saga_mistake mistake)
{
    return mistake_names[mistake];
}

unsigned world_any(struct play *play, unsigned below)
{
    return (unsigned)(saga_random(&play->random) % below);
}

// --- a run

static void set_up_handlers(struct play *play)
{
    static const char *const names[] = {"saga", "payment", "inventory", "shipping", "ordering"};
    struct str clash;
    if (saga_definitions_add(&play->definitions, play->definition, play->arena, &clash) !=
        STATUS_OK) {
        abort();
    }
    // A confirm that gives up is a matter of the definition.
    if (play->options->mistake == MISTAKE_CONFIRM_TIMES_OUT) {
        struct saga_definition *changed = &play->definitions.items[0];
        changed->steps[changed->pivot].forward.ask_without_limit = false;
        changed->steps[changed->pivot].compensation = changed->steps[3].compensation;
        changed->steps[3].compensation.name = STR("refund_again");
    }
    play->saga = saga_handler(STR("saga"), &play->definitions);
    for (int i = 0; i < HANDLERS; i++) {
        play->commands[i] = command_handler(str_from(names[i]));
        const struct message_handler *real = i == H_SAGA ? &play->saga.handler : &play->commands[i];
        play->handlers[i] =
            mistaken_handler(real, &play->definitions.items[0], play->options->mistake);
    }
}

static void set_up(struct play *play)
{
    struct uuid item = uuid_named(STR("main"), STR("stock_item"), STR("SKU-1"));
    set_up_handlers(play);
    for (int i = 0; i < WORKERS; i++) {
        arena_init(&play->workers[i].arena, 65536, WORKER_BYTES);
        play->workers[i].cache = state_cache_new(16, 65536);
    }
    world_append(play, item, "stock_item", "StockReceived",
                 play->options->stock_short
                     ? STR("{\"sku\":\"SKU-1\",\"quantity\":1,\"receipt\":\"r\"}")
                     : STR("{\"sku\":\"SKU-1\",\"quantity\":2,\"receipt\":\"r\"}"));
    world_append(play, play->order, "order", "OrderPlaced", play->definition->starts_on[0].example);
}

static void tear_down(struct play *play)
{
    for (int i = 0; i < WORKERS; i++) {
        arena_free(&play->workers[i].arena);
        state_cache_free(play->workers[i].cache);
    }
    event_store_memory_free(play->log);
}

// Some runs are calm and some are wild: in a wild one a saga hardly ever gets far.
static void choose_chaos(struct play *play)
{
    static const int dead[] = {0, 0, 1, 3};
    static const int twice[] = {0, 4, 20};
    static const int early[] = {0, 0, 2, 12};
    static const unsigned silence[] = {0, 30, 6};
    unsigned steps = (unsigned)play->options->steps;
    play->dead_left = dead[world_any(play, 4)];
    play->twice_left = twice[world_any(play, 3)];
    play->early_left = early[world_any(play, 4)];
    play->parties.silent_one_in = silence[world_any(play, 3)];
    play->cancel_at = world_any(play, 3) == 0 ? -1 : (int)world_any(play, steps);
    play->abort_at = world_any(play, 6) > 0 ? -1 : (int)world_any(play, steps);
}

static void run(struct play *play)
{
    choose_chaos(play);
    for (int i = 0; i < play->options->steps && play->violation == NULL; i++, play->steps++) {
        world_chaotic_step(play);
        play->violation = play->violation == NULL ? world_check_always(play) : play->violation;
    }
    play->parties.silent_one_in = 0;
    int left = REST_MAX;
    while (play->violation == NULL && left > 0 && world_resting_step(play)) {
        left--;
        play->steps++;
        play->violation = play->violation == NULL ? world_check_always(play) : play->violation;
    }
    if (play->violation == NULL) {
        play->violation = left == 0 ? "no end is reached" : world_check_at_rest(play);
    }
}

struct saga_verdict saga_world_play(const struct saga_definition *definition,
                                    const struct saga_world_options *options, struct arena *arena)
{
    struct play *play = arena_alloc(arena, sizeof *play);
    play->store.ops = &world_store_ops;
    play->log = event_store_memory_new(STORE_BYTES);
    play->definition = definition;
    play->options = options;
    play->arena = arena;
    play->random = options->seed * UINT64_C(0x9E3779B97F4A7C15) + 1;
    play->order = uuid_v7(1795503145123, (const unsigned char[10]){1, 2, 3, 4, 5, 6, 7, 8, 9, 10});
    play->instance = saga_stream(definition, play->order);
    play->parties = (struct saga_parties){.card = options->card,
                                          .carrier = options->carrier,
                                          .forgets_undo_of_nothing =
                                              options->mistake == MISTAKE_PROVIDER_UNMARKED,
                                          .random = &play->random,
                                          .arena = arena};
    set_up(play);
    run(play);
    struct saga_verdict verdict = {
        .violation =
            play->violation == NULL ? STR("") : arena_str(arena, str_from(play->violation)),
        .confirmed = world_has(play, "OrderConfirmed"),
        .cancelled = world_has(play, "OrderCancelled"),
        .rejected = world_has(play, "OrderRejected"),
        .steps = play->steps,
    };
    tear_down(play);
    return verdict;
}
