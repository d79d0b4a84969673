// SPDX-License-Identifier: Apache-2.0
// comandactl doctor: has the cache a limit, and does it make room when that is reached?
#include "doctor_memory.h"

#include <string.h>

// The value of "name:value\r\n" in INFO's answer; empty: not there.
static struct str info_value(struct str info, struct str name)
{
    struct str line;
    while (str_split(info, '\n', &line, &info) || line.len > 0) {
        struct str key;
        struct str value;
        (void)str_split(line, ':', &key, &value);
        if (str_eq(key, name)) {
            (void)str_split(value, '\r', &value, &key);
            return value;
        }
    }
    return STR("");
}

static void say_memory(struct doctor *doctor, struct str info)
{
    struct str limit = info_value(info, STR("maxmemory"));
    struct str policy = info_value(info, STR("maxmemory_policy"));
    bool bounded = limit.len > 0 && !str_eq(limit, STR("0"));
    // volatile-… finds nothing to evict: documents have no time of their own to go.
    bool evicts = str_starts_with(policy, STR("allkeys-"));
    doctor_say(doctor, "redis memory", bounded && evicts ? FINDING_OK : FINDING_WARNING,
               DOCTOR_DETAIL(doctor, "maxmemory %.*s, %.*s",
                             STR_FMT(bounded ? limit : STR("without limit")), STR_FMT(policy)),
               bounded && evicts ? ""
                                 : "set maxmemory and maxmemory-policy allkeys-lru: documents stay"
                                   " until they are evicted, and come back when they are read");
}

void doctor_redis_memory(struct doctor *doctor, redisContext *context)
{
    redisReply *reply = redisCommand(context, "INFO memory");
    if (reply != NULL && reply->type == REDIS_REPLY_STRING) {
        say_memory(doctor, (struct str){reply->str, reply->len});
    } else {
        doctor_say(doctor, "redis memory", FINDING_WARNING,
                   reply == NULL ? STR("it does not answer INFO")
                                 : DOCTOR_DETAIL(doctor, "%s", reply->str),
                   "let this user run INFO, or look at maxmemory yourself");
    }
    if (reply != NULL) {
        freeReplyObject(reply);
    }
}
