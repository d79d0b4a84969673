// SPDX-License-Identifier: Apache-2.0
// Rate limiting by GCRA, the leaky bucket as a meter (ITU-T I.371): one time a key, no counters, no
// windows. Integer nanoseconds of a monotonic clock.
#include "application/limit/gcra.h"

struct gcra_answer gcra_judge(struct gcra_rate rate, int64_t tat_ns, int64_t now_ns,
                              int64_t *next_ns)
{
    int64_t tolerance = rate.interval_ns * rate.burst;
    int64_t stored = tat_ns > now_ns + tolerance ? now_ns + tolerance : tat_ns;
    int64_t start = stored > now_ns ? stored : now_ns;
    int64_t next = start + rate.interval_ns;
    struct gcra_answer answer = {.allowed = next - tolerance <= now_ns};
    if (!answer.allowed) {
        answer.retry_ns = next - tolerance - now_ns;
        next = start;
    }
    answer.reset_ns = next - now_ns;
    answer.remaining = (tolerance - answer.reset_ns) / rate.interval_ns;
    *next_ns = answer.allowed ? next : stored;
    return answer;
}
