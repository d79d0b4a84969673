// SPDX-License-Identifier: Apache-2.0
// A loop that takes a queue's messages in batches: its settings.
#include "runtime/consumer.h"

static const struct setting consumer_items[] = {
    {"COMANDA_BATCH", SETTING_INTEGER, "128", 1, HANDLER_BATCH_MAX, NULL,
     "Messages handled in one transaction, at most"},
    {"COMANDA_LINGER", SETTING_MS, "0ms", 0, 1000, NULL,
     "How long a batch waits for more messages once it has one"},
    {"COMANDA_PREFETCH", SETTING_INTEGER, "300", 1, 10000, NULL,
     "Messages of each queue that the broker hands out ahead of their acknowledgement"},
    {"COMANDA_CONTENTION", SETTING_MS, "30s", 100, 600000, NULL,
     "How long messages that keep losing the race for their streams are tried again at once, "
     "before "
     "they have to wait with the failed ones"},
    {"COMANDA_EFFECT_TIMEOUT", SETTING_MS, "3s", 10, 60000, NULL,
     "How long a batch waits for the provider's or carrier's answers"},
    {"COMANDA_SNAPSHOT_EVERY", SETTING_INTEGER, "100", 0, 100000, NULL,
     "Events between two snapshots of a stream; 0 for none"},
    {"COMANDA_STATES", SETTING_INTEGER, "4096", 0, 1000000, NULL,
     "States of the streams used last that are kept in memory"},
    {"COMANDA_CRASHES", SETTING_INTEGER, "3", 1, 100, NULL,
     "How often a message may be in hand alone when its process dies before it is a dead letter"},
    {"COMANDA_RETRY_1", SETTING_MS, "5s", 10, 86400000, NULL,
     "The first delay of a message that could not be handled; the relay declares the queues"},
    {"COMANDA_RETRY_2", SETTING_MS, "20s", 10, 86400000, NULL, "The second delay"},
    {"COMANDA_RETRY_3", SETTING_MS, "60s", 10, 86400000, NULL,
     "The third delay; after it a message goes to the dead letters"},
};
const struct setting_group consumer_settings = SETTING_GROUP(consumer_items);

enum { LADDER_COUNT = 3 }; // its settings stand last
const struct setting_group ladder_settings = {
    .items = consumer_items + sizeof(consumer_items) / sizeof(consumer_items[0]) - LADDER_COUNT,
    .count = LADDER_COUNT};

int64_t consumer_ladder_ms(const struct settings *settings)
{
    return settings_int(settings, "COMANDA_RETRY_1") + settings_int(settings, "COMANDA_RETRY_2") +
           settings_int(settings, "COMANDA_RETRY_3");
}
