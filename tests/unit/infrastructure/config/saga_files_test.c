// SPDX-License-Identifier: Apache-2.0
// A folder of sagas is loaded whole or not at all.
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "infrastructure/config/saga_files.h"
#include "support/saga_fixture.h"

static struct arena arena;
static struct buffer faults;
static struct saga_definitions definitions;
static char folder[64];

static void open_fixture(void)
{
    arena_init(&arena, 65536, 32 << 20);
    buffer_init(&faults, &arena, 65536);
    definitions.count = 0;
    snprintf(folder, sizeof folder, "/tmp/saga_files_XXXXXX");
    cr_assert_not_null(mkdtemp(folder));
}

static const char *path_of(const char *name)
{
    return arena_printf(&arena, "%s/%s", folder, name).data;
}

static void close_fixture(void)
{
    const char *names[] = {"a.json", "b.json", ".hidden.json", "notes.txt"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        (void)remove(path_of(names[i]));
    }
    (void)rmdir(folder);
    arena_free(&arena);
}

TestSuite(saga_files, .init = open_fixture, .fini = close_fixture);

static void given_file(const char *name, struct str content)
{
    FILE *file = fopen(path_of(name), "wb");
    cr_assert_not_null(file);
    cr_assert_eq(fwrite(content.data, 1, content.len, file), content.len);
    fclose(file);
}

static struct str shipped(void)
{
    return saga_fixture_file("conf/sagas/order_fulfilment.json", &arena);
}

static enum status when_loaded(void)
{
    return saga_files_load(folder, (struct saga_overrides){0, 0}, &arena, &definitions, &faults);
}

static void then_told(const char *passage)
{
    cr_assert_not_null(saga_fixture_find(buffer_view(&faults), passage), "%.*s",
                       STR_FMT(buffer_view(&faults)));
}

Test(saga_files, given_a_folder_when_loaded_then_only_its_json_counts)
{
    given_file("a.json", shipped());
    given_file(".hidden.json", STR("{"));
    given_file("notes.txt", STR("{"));
    cr_assert_eq(when_loaded(), STATUS_OK, "%.*s", STR_FMT(buffer_view(&faults)));
    cr_assert_eq(definitions.count, 1);
    cr_assert(str_eq(definitions.items[0].name, STR("order_fulfilment")));
}

Test(saga_files, given_a_wrong_file_when_loaded_then_its_name_and_place_are_told)
{
    given_file("a.json", shipped());
    given_file("b.json", STR("{\"saga\": 7}"));
    cr_assert_eq(when_loaded(), STATUS_INVALID);
    then_told("/b.json: /saga: ");
    then_told("/b.json: /steps: ");
}

Test(saga_files, given_one_version_twice_when_loaded_then_both_files_are_told)
{
    given_file("a.json", shipped());
    given_file("b.json", shipped());
    cr_assert_eq(when_loaded(), STATUS_INVALID);
    then_told("a.json and ");
    then_told("b.json both declare order_fulfilment version 1");
}

Test(saga_files, given_no_saga_or_no_folder_when_loaded_then_it_says_so)
{
    cr_assert_eq(when_loaded(), STATUS_INVALID);
    then_told("holds no saga");
    cr_assert_eq(saga_files_load("/nonexistent/sagas", (struct saga_overrides){0, 0}, &arena,
                                 &definitions, &faults),
                 STATUS_INVALID);
    then_told("/nonexistent/sagas: No such file");
}

Test(saga_files, given_a_file_past_its_maximum_when_loaded_then_it_says_so)
{
    char *large = arena_alloc(&arena, SAGA_FILE_BYTES_MAX + 2);
    cr_assert_not_null(large);
    for (size_t i = 0; i <= SAGA_FILE_BYTES_MAX; i++) {
        large[i] = ' ';
    }
    given_file("a.json", (struct str){large, SAGA_FILE_BYTES_MAX + 1});
    cr_assert_eq(when_loaded(), STATUS_INVALID);
    then_told("is larger than 256 KiB");
}
