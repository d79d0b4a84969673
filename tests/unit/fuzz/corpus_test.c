// SPDX-License-Identifier: Apache-2.0
// What fuzzing has found, and where it begins: every file of tests/fuzz/corpus through its target.
// links: tests/fuzz/targets.c tests/fuzz/targets_wire.c
#include <criterion/criterion.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

#include "fuzz/targets.h"

enum { PATH_MAX_LEN = 1024, INPUT_MAX = 1 << 20 };

// The bytes in a block of their own size, so that a sanitizer sees who reads past them.
static void replay(const struct fuzz_target *target, const char *path)
{
    static char bytes[INPUT_MAX];
    FILE *file = fopen(path, "rb");
    cr_assert_not_null(file, "%s cannot be opened", path);
    size_t len = fread(bytes, 1, sizeof(bytes), file);
    fclose(file);
    char *copy = malloc(len + (len == 0));
    for (size_t i = 0; i < len; i++) {
        copy[i] = bytes[i];
    }
    target->run((struct str){copy, len});
    free(copy);
}

static int replay_folder(const char *name)
{
    char path[PATH_MAX_LEN];
    const struct fuzz_target *target = fuzz_target_find(str_from(name));
    cr_assert_not_null(target, "tests/fuzz/corpus/%s belongs to no target", name);
    snprintf(path, sizeof(path), "tests/fuzz/corpus/%s", name);
    DIR *folder = opendir(path);
    cr_assert_not_null(folder);
    int count = 0;
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        if (entry->d_name[0] != '.') {
            snprintf(path, sizeof(path), "tests/fuzz/corpus/%s/%s", name, entry->d_name);
            replay(target, path);
            count++;
        }
    }
    closedir(folder);
    return count;
}

Test(corpus, given_every_input_kept_when_replayed_then_no_promise_is_broken)
{
    DIR *folder = opendir("tests/fuzz/corpus");
    cr_assert_not_null(folder, "run tests from the top folder");
    int targets = 0;
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        if (entry->d_name[0] != '.') {
            cr_assert_gt(replay_folder(entry->d_name), 0, "%s is empty", entry->d_name);
            targets++;
        }
    }
    closedir(folder);
    cr_assert_eq(targets, 10, "each target has a folder of seeds");
}
