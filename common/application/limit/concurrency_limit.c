// SPDX-License-Identifier: Apache-2.0
// How many requests a server whose inside is not seen may have at once: a limit that follows the
// gradient of its latency (after Netflix's Gradient2 and Envoy's adaptive concurrency; ADR 13).
#include "application/limit/concurrency_limit.h"

static const int64_t millisecond_ns = 1000000;
static const int64_t milli = 1000;

enum {
    START_MAX = 20,        // the first limit, until windows have told more
    FLOOR = 5,             // latency alone lowers no limit below it; drops do, down to one
    NORMAL_PERCENT = 80,   // of limit and budget, for those without priority
    SAMPLES_MIN = 10,      // a window
    LOOK_SAMPLES_MIN = 50, // a window with the limit halved
    WINDOW_MS_MIN = 100,
    WINDOW_MS_ENOUGH = 5000, // then the fewest samples are enough
    WINDOWS_A_LOOK = 30,
    WINDOWS_A_LOOK_AT_FIRST = 5, // until the limit was high enough once
    OWN_SAMPLES_MAX = 50,        // that own_ns counts for against those of a window
    TOLERANCE_PERCENT = 150,
    STEP_PERCENT = 50,        // of the way that the gradient asks for, a window
    LOST_PERCENT_BORNE = 5,   // of a window, before it lowers the limit
    GRADIENT_PERMILLE = 1000, // flat
    GRADIENT_PERMILLE_MIN = 500,
};

struct window {
    int64_t mean_ns; // 0: no answers
    int64_t answered;
    int64_t dropped;
    int64_t late;
    int64_t peak;
};

static int64_t at_least(int64_t value, int64_t least)
{
    return value > least ? value : least;
}

static int64_t at_most(int64_t value, int64_t most)
{
    return value < most ? value : most;
}

static void raise_to(_Atomic int64_t *place, int64_t value)
{
    int64_t now = atomic_load_explicit(place, memory_order_relaxed);
    while (now < value && !atomic_compare_exchange_weak(place, &now, value)) {
    }
}

static void raise_count_to(_Atomic int32_t *place, int32_t value)
{
    int32_t now = atomic_load_explicit(place, memory_order_relaxed);
    while (now < value && !atomic_compare_exchange_weak(place, &now, value)) {
    }
}

void concurrency_limit_reset_slot(struct concurrency_limit *limit, uint32_t slot)
{
    raise_count_to(&limit->slots_used, (int32_t)slot + 1);
    atomic_store(&limit->in_flight[slot], 0);
}

int64_t concurrency_limit_in_flight(struct concurrency_limit *limit)
{
    int64_t sum = 0;
    int32_t slots = atomic_load_explicit(&limit->slots_used, memory_order_relaxed);
    for (int32_t slot = 0; slot < slots; slot++) {
        sum += atomic_load_explicit(&limit->in_flight[slot], memory_order_relaxed);
    }
    return sum;
}

int64_t concurrency_limit_now(struct concurrency_limit *limit)
{
    return at_most((atomic_load(&limit->limit_milli) + milli - 1) / milli, CONCURRENCY_MAX);
}

// ---- Who gets in --------------------------------------------------------------------------------

static bool is_looking(struct concurrency_limit *limit)
{
    return atomic_load_explicit(&limit->until_look, memory_order_relaxed) == 0;
}

// How many may be in flight before this one. High ones always have one place to themselves.
static int64_t places(struct concurrency_limit *limit, bool high)
{
    int64_t all = atomic_load(&limit->limit_milli);
    if (all == 0) {
        return CONCURRENCY_MAX;
    }
    if (is_looking(limit)) {
        all /= 2;
    }
    int64_t normal = at_least(all * NORMAL_PERCENT / 100 / milli, 1);
    return high ? at_least(all / milli, normal + 1) : normal;
}

bool concurrency_limit_allows(struct concurrency_limit *limit, struct concurrency_claim claim,
                              int64_t now_ns)
{
    int64_t in_flight = concurrency_limit_in_flight(limit);
    int64_t bearable = claim.high ? claim.budget_ns : claim.budget_ns * NORMAL_PERCENT / 100;
    return in_flight == 0 || (in_flight < places(limit, claim.high) &&
                              now_ns - atomic_load(&limit->progress_ns) <= bearable);
}

void concurrency_limit_enter(struct concurrency_limit *limit, uint32_t slot, int64_t now_ns)
{
    int64_t in_flight = concurrency_limit_in_flight(limit);
    if (in_flight == 0) {
        raise_to(&limit->progress_ns, now_ns);
    }
    raise_count_to(&limit->slots_used, (int32_t)slot + 1);
    raise_count_to(&limit->peak, (int32_t)in_flight + 1);
    atomic_fetch_add(&limit->in_flight[slot], 1);
}

void concurrency_limit_leave(struct concurrency_limit *limit, uint32_t slot)
{
    atomic_fetch_sub(&limit->in_flight[slot], 1);
}

// ---- What a window tells ------------------------------------------------------------------------

static bool is_complete(struct concurrency_limit *limit, int64_t age_ns)
{
    int64_t samples = atomic_load(&limit->answered) + atomic_load(&limit->dropped);
    int64_t least = is_looking(limit) ? LOOK_SAMPLES_MIN : SAMPLES_MIN;
    if (age_ns >= WINDOW_MS_ENOUGH * millisecond_ns) {
        return samples >= SAMPLES_MIN;
    }
    least = at_least(least, atomic_load(&limit->peak)); // each place is heard
    return samples >= least && age_ns >= WINDOW_MS_MIN * millisecond_ns;
}

static struct window take_window(struct concurrency_limit *limit)
{
    struct window window = {
        .answered = atomic_exchange(&limit->answered, 0),
        .dropped = atomic_exchange(&limit->dropped, 0),
        .late = atomic_exchange(&limit->late, 0),
        .peak = atomic_exchange(&limit->peak, 0),
    };
    int64_t sum = atomic_exchange(&limit->sum_ns, 0);
    window.mean_ns = window.answered > 0 ? sum / window.answered : 0;
    return window;
}

// What so few at once took is the server's own time, or at least nearer to it: half the requests
// wait half as long.
static void hear_own_time(struct concurrency_limit *limit, const struct window *window)
{
    int64_t own = atomic_load(&limit->own_ns);
    int64_t samples = atomic_load(&limit->own_samples);
    own += (window->mean_ns - own) * window->answered / (window->answered + samples);
    atomic_store(&limit->own_ns, at_least(own, 1));
    atomic_store(&limit->own_samples,
                 (int32_t)at_most(samples + window->answered, OWN_SAMPLES_MAX));
}

static void look_later(struct concurrency_limit *limit)
{
    bool settled = atomic_load(&limit->settled) != 0;
    atomic_store(&limit->told_milli, atomic_load(&limit->limit_milli));
    atomic_store(&limit->until_look, settled ? WINDOWS_A_LOOK : WINDOWS_A_LOOK_AT_FIRST);
}

// Thousandths: 1000 when neither latency nor losses say that the server has too much.
static int64_t gradient(struct concurrency_limit *limit, const struct window *window)
{
    int64_t permille = GRADIENT_PERMILLE;
    if (window->answered > 0) {
        int64_t bearable = atomic_load(&limit->own_ns) / 100 * TOLERANCE_PERCENT;
        permille = at_most(permille, bearable * GRADIENT_PERMILLE / at_least(window->mean_ns, 1));
    }
    return at_least(permille, GRADIENT_PERMILLE_MIN);
}

static int64_t gradient_of_losses(const struct window *window)
{
    int64_t lost = window->dropped + window->late;
    int64_t all = window->dropped + window->answered;
    if (lost * 100 <= all * LOST_PERCENT_BORNE) {
        return GRADIENT_PERMILLE;
    }
    return at_least(GRADIENT_PERMILLE - lost * GRADIENT_PERMILLE / all, GRADIENT_PERMILLE_MIN);
}

static int64_t square_root(int64_t value)
{
    int64_t root = 1;
    while ((root + 1) * (root + 1) <= value) {
        root++;
    }
    return root;
}

static int64_t lowered(int64_t limit_milli, int64_t permille, int64_t floor)
{
    int64_t part = (GRADIENT_PERMILLE - permille) * STEP_PERCENT / 100;
    int64_t less = limit_milli - limit_milli * part / GRADIENT_PERMILLE;
    return at_least(less, at_most(limit_milli, floor * milli));
}

static int64_t raised(struct concurrency_limit *limit, int64_t limit_milli)
{
    bool settled = atomic_load(&limit->settled) != 0;
    int64_t more = settled ? square_root(limit_milli / milli) * milli : limit_milli / 2;
    return at_most(limit_milli + more, (int64_t)CONCURRENCY_MAX * milli);
}

static int64_t next_limit(struct concurrency_limit *limit, const struct window *window, bool looked)
{
    int64_t now = atomic_load(&limit->limit_milli);
    int64_t by_latency = looked ? GRADIENT_PERMILLE : gradient(limit, window);
    int64_t by_losses = gradient_of_losses(window);
    if (by_losses < GRADIENT_PERMILLE) {
        return lowered(now, at_most(by_latency, by_losses), 1);
    }
    if (by_latency < GRADIENT_PERMILLE) {
        return lowered(now, by_latency, FLOOR);
    }
    bool needed = 2 * window->peak * milli >= now;
    return needed && !looked ? raised(limit, now) : now;
}

static void learn(struct concurrency_limit *limit, const struct window *window)
{
    int64_t now = atomic_load(&limit->limit_milli);
    bool looked = is_looking(limit);
    bool few = looked || 2 * window->peak * milli <= now || now <= FLOOR * milli ||
               atomic_load(&limit->own_samples) < SAMPLES_MIN;
    if (few && window->answered > 0) {
        hear_own_time(limit, window);
    }
    int64_t next = next_limit(limit, window, looked);
    if (next < now) {
        atomic_store(&limit->settled, 1);
    }
    atomic_store(&limit->latency_ns, window->mean_ns);
    atomic_store(&limit->limit_milli, next);
    if (few) {
        look_later(limit);
        return;
    }
    // A limit that has come down by half and still is too high: perhaps the server became slower.
    bool fallen = 2 * next <= atomic_load(&limit->told_milli);
    int64_t left = atomic_load(&limit->until_look) - 1;
    atomic_store(&limit->until_look, fallen ? 0 : (int32_t)at_least(left, 0));
}

// The first answer: as if the server did one thing at a time, until windows say otherwise.
static void start(struct concurrency_limit *limit, int64_t latency_ns, int64_t budget_ns,
                  int64_t now_ns)
{
    int64_t first = at_least(at_most(budget_ns / latency_ns, START_MAX), 1) * milli;
    int64_t none = 0;
    atomic_store(&limit->window_ns, now_ns);
    atomic_store(&limit->own_ns, latency_ns);
    atomic_store(&limit->own_samples, 1);
    atomic_store(&limit->latency_ns, latency_ns);
    atomic_compare_exchange_strong(&limit->limit_milli, &none, first);
    look_later(limit);
}

void concurrency_limit_sample(struct concurrency_limit *limit, struct concurrency_claim claim,
                              int64_t entered_ns, enum concurrency_outcome outcome, int64_t now_ns)
{
    int64_t latency = at_least(now_ns - entered_ns, 1);
    bool answered = outcome == CONCURRENCY_ANSWERED;
    if (outcome != CONCURRENCY_DROPPED) {
        raise_to(&limit->progress_ns, now_ns);
    }
    if (outcome == CONCURRENCY_FAILED) {
        return;
    }
    if (atomic_load(&limit->limit_milli) == 0) {
        if (answered) {
            start(limit, latency, claim.budget_ns, now_ns);
        }
        return;
    }
    int64_t window_ns = atomic_load(&limit->window_ns);
    if (atomic_load_explicit(&limit->before, memory_order_relaxed) > 0 &&
        atomic_fetch_sub(&limit->before, 1) > 0) { // it may have waited under another limit
        return;
    }
    if (answered) {
        atomic_fetch_add(&limit->sum_ns, latency);
        atomic_fetch_add(&limit->late, latency > claim.budget_ns);
    }
    atomic_fetch_add(answered ? &limit->answered : &limit->dropped, 1);
    // Whoever swaps the window's begin closes it. If that process dies here, the samples count for
    // the next window.
    if (is_complete(limit, now_ns - window_ns) &&
        atomic_compare_exchange_strong(&limit->window_ns, &window_ns, now_ns)) {
        struct window window = take_window(limit);
        atomic_store(&limit->before, (int32_t)concurrency_limit_in_flight(limit));
        learn(limit, &window);
    }
}
