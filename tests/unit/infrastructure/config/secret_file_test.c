// SPDX-License-Identifier: Apache-2.0
// Unit tests of the one reader of secrets in files.
#include "infrastructure/config/secret_file.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { MIN = 2, MAX = 8 };

static char path[] = "/tmp/comanda_secret_XXXXXX";
static char bytes[MAX + 1];
static char fault[SECRET_FAULT_MAX];
static size_t len;

static enum status read_of(const char *content, size_t size)
{
    strcpy(path + sizeof(path) - 7, "XXXXXX");
    int fd = mkstemp(path);
    cr_assert_geq(fd, 0);
    cr_assert_eq(write(fd, content, size), (ssize_t)size);
    close(fd);
    fault[0] = '\0';
    enum status status = secret_file_read(path, MIN, MAX, bytes, &len, fault);
    unlink(path);
    return status;
}

#define READ_OF(literal) read_of(literal, sizeof(literal) - 1)

static void then_refused(enum status status, const char *words)
{
    cr_assert_eq(status, STATUS_INVALID, "%s", words);
    cr_assert(strstr(fault, path) != NULL && strstr(fault, words) != NULL, "%s: %s", words, fault);
    cr_assert_eq(strstr(fault, "hunter"), NULL, "the secret itself: %s", fault);
    cr_assert_eq(len, 0);
}

Test(secret_file, given_any_line_end_or_none_when_read_then_the_secret_is_the_same)
{
    static const char *const contents[] = {"hunter2",      "hunter2\n",          "hunter2\r\n",
                                           "hunter2\r",    "hunter2\nand more",  "hunter2\n\n\n",
                                           "hunter2\r\rx", "hunter2\r\nand more"};
    for (size_t at = 0; at < sizeof(contents) / sizeof(contents[0]); at++) {
        cr_assert_eq(read_of(contents[at], strlen(contents[at])), STATUS_OK, "%zu: %s", at, fault);
        cr_assert_str_eq(bytes, "hunter2");
        cr_assert_eq(len, 7);
    }
}

Test(secret_file, given_blanks_when_read_then_they_are_the_secrets_own)
{
    cr_assert_eq(READ_OF(" a b \n"), STATUS_OK);
    cr_assert_str_eq(bytes, " a b ");
}

Test(secret_file, given_a_nul_after_the_first_line_when_read_then_it_is_not_looked_at)
{
    cr_assert_eq(READ_OF("hunter2\n\0\0"), STATUS_OK);
    then_refused(READ_OF("hunt\0er\n"), "NUL");
    then_refused(READ_OF("h\0u\0n\0t\0"), "NUL"); // UTF-16 without its mark
}

Test(secret_file, given_a_byte_order_mark_when_read_then_it_is_refused_by_its_name)
{
    then_refused(READ_OF("\xEF\xBB\xBFhunt\r\n"), "UTF-8");
    then_refused(READ_OF("\xFF\xFEh\0u\0"), "UTF-16 (little-endian)");
    then_refused(READ_OF("\xFE\xFF\0h\0u"), "UTF-16 (big-endian)");
    then_refused(READ_OF("\xFF\xFE\0\0h\0\0\0"), "UTF-32 (little-endian)");
    then_refused(READ_OF("\0\0\xFE\xFF\0\0\0h"), "UTF-32 (big-endian)");
}

Test(secret_file, given_a_length_out_of_bounds_when_read_then_the_bounds_are_told)
{
    cr_assert_eq(READ_OF("12345678"), STATUS_OK);
    cr_assert_eq(len, 8);
    cr_assert_eq(READ_OF("12345678\r\n"), STATUS_OK);
    then_refused(READ_OF("123456789"), "2 to 8 bytes, and holds more");
    then_refused(READ_OF("1\n2345678"), "2 to 8 bytes, and holds 1");
    then_refused(READ_OF(""), "and holds 0");
    then_refused(READ_OF("\nhunter2"), "and holds 0");
}

Test(secret_file, given_no_file_or_a_folder_when_read_then_the_system_says_why)
{
    cr_assert_eq(secret_file_read("/nowhere/key", MIN, MAX, bytes, &len, fault), STATUS_NOT_FOUND);
    cr_assert_str_eq(fault, "/nowhere/key: No such file or directory");
    cr_assert_eq(secret_file_read("/tmp", MIN, MAX, bytes, &len, fault), STATUS_NOT_FOUND);
    cr_assert(strstr(fault, "/tmp: Is a directory") != NULL, "%s", fault);
}
