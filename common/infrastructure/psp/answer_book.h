// SPDX-License-Identifier: Apache-2.0
// What a provider in this process knows: subjects by name, and the first answer under each key.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

enum { ANSWERS_A_SUBJECT = 8, ANSWER_TEXT_MAX = 128 };

struct answer {
    char key_bytes[ANSWER_TEXT_MAX];
    size_t key_len;
    bool done;
    struct str code; // literals
    struct str detail;
};

struct answer_subject {
    unsigned flags; // the provider's own
    int64_t amount;
    struct answer answers[ANSWERS_A_SUBJECT];
    size_t answer_count;
};

struct answer_book;

struct answer_book *answer_book_new(size_t subjects_max);
void answer_book_free(struct answer_book *book);

// Made when it is new. NULL: no room, or a name longer than ANSWER_TEXT_MAX.
struct answer_subject *answer_book_subject(struct answer_book *book, struct str name);

// NULL: none under this key.
struct answer *answer_of(struct answer_subject *subject, struct str key);

// code and detail are not copied. False: no room.
bool answer_keep(struct answer_subject *subject, struct str key, bool done, struct str code,
                 struct str detail);
