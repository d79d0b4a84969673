// SPDX-License-Identifier: Apache-2.0
// What a provider in this process knows: subjects by name, and the first answer under each key.
#include "infrastructure/psp/answer_book.h"

#include <stdlib.h>
#include <string.h>

#define HASH_NONFATAL_OOM 1
#include <uthash.h>

struct entry {
    UT_hash_handle hh;
    struct answer_subject subject;
    char name[ANSWER_TEXT_MAX];
};

struct answer_book {
    struct entry *entries;
    size_t subjects_max;
};

struct answer_book *answer_book_new(size_t subjects_max)
{
    struct answer_book *book = calloc(1, sizeof(*book));
    if (book != NULL) {
        book->subjects_max = subjects_max;
    }
    return book;
}

void answer_book_free(struct answer_book *book)
{
    while (book != NULL && book->entries != NULL) {
        struct entry *entry = book->entries;
        HASH_DEL(book->entries, entry);
        free(entry);
    }
    free(book);
}

static struct answer_subject *add(struct answer_book *book, struct str name)
{
    struct entry *entry = calloc(1, sizeof(*entry));
    if (entry == NULL || HASH_COUNT(book->entries) >= book->subjects_max) {
        free(entry);
        return NULL;
    }
    memcpy(entry->name, name.data, name.len);
    HASH_ADD_KEYPTR(hh, book->entries, entry->name, name.len, entry);
    if (entry->hh.tbl == NULL) {
        free(entry);
        return NULL;
    }
    return &entry->subject;
}

struct answer_subject *answer_book_subject(struct answer_book *book, struct str name)
{
    struct entry *found = NULL;
    if (name.len == 0 || name.len > ANSWER_TEXT_MAX) {
        return NULL;
    }
    HASH_FIND(hh, book->entries, name.data, name.len, found);
    return found != NULL ? &found->subject : add(book, name);
}

struct answer *answer_of(struct answer_subject *subject, struct str key)
{
    for (size_t at = 0; at < subject->answer_count; at++) {
        struct answer *answer = &subject->answers[at];
        if (str_eq((struct str){answer->key_bytes, answer->key_len}, key)) {
            return answer;
        }
    }
    return NULL;
}

bool answer_keep(struct answer_subject *subject, struct str key, bool done, struct str code,
                 struct str detail)
{
    if (subject->answer_count == ANSWERS_A_SUBJECT || key.len > ANSWER_TEXT_MAX) {
        return false;
    }
    struct answer *answer = &subject->answers[subject->answer_count++];
    *answer = (struct answer){.key_len = key.len, .done = done, .code = code, .detail = detail};
    memcpy(answer->key_bytes, key.data, key.len);
    return true;
}
