// SPDX-License-Identifier: Apache-2.0
// A number as I-JSON allows it: RFC 8259's grammar, integers within +-(2^53 - 1), the rest finite.
#include "base/json_number.h"

struct scan {
    const unsigned char *at;
    const unsigned char *end;
};

static size_t skip_digits(struct scan *scan)
{
    const unsigned char *first = scan->at;
    while (scan->at < scan->end && *scan->at >= '0' && *scan->at <= '9') {
        scan->at++;
    }
    return (size_t)(scan->at - first);
}

static bool integer_fits(const unsigned char *digits, size_t len)
{
    uint64_t value = 0;
    if (len > 16) {
        return false;
    }
    for (size_t i = 0; i < len; i++) {
        value = value * 10 + (digits[i] - '0');
    }
    return value <= (uint64_t)JSON_INTEGER_MAX;
}

// The exponent after 'e'; *value saturates, far outside what a double can hold.
static bool read_exponent(struct scan *scan, int64_t *value)
{
    scan->at++;
    bool negative = scan->at < scan->end && *scan->at == '-';
    if (scan->at < scan->end && (*scan->at == '-' || *scan->at == '+')) {
        scan->at++;
    }
    const unsigned char *digits = scan->at;
    size_t len = skip_digits(scan);
    int64_t sum = 0;
    for (size_t i = 0; i < len; i++) {
        sum = sum > 1000000000 ? sum : sum * 10 + (digits[i] - '0');
    }
    *value = negative ? -sum : sum;
    return len > 0;
}

// The power of ten of the first digit that is not zero; very small when all are.
static int64_t leading_power(const unsigned char *whole, size_t whole_len,
                             const unsigned char *fraction, size_t fraction_len)
{
    if (whole[0] != '0') {
        return (int64_t)whole_len - 1;
    }
    for (size_t i = 0; i < fraction_len; i++) {
        if (fraction[i] != '0') {
            return -(int64_t)i - 1;
        }
    }
    return -INT64_C(1000000000000); // below any exponent
}

static enum json_fault check(struct scan *scan)
{
    if (*scan->at == '-') {
        scan->at++;
    }
    const unsigned char *whole = scan->at;
    size_t whole_len = skip_digits(scan);
    if (whole_len == 0 || (whole[0] == '0' && whole_len > 1)) {
        return JSON_SYNTAX;
    }
    const unsigned char *fraction = scan->at;
    size_t fraction_len = 0;
    bool is_integer = true;
    if (scan->at < scan->end && *scan->at == '.') {
        is_integer = false;
        fraction = ++scan->at;
        fraction_len = skip_digits(scan);
        if (fraction_len == 0) {
            return JSON_SYNTAX;
        }
    }
    int64_t exponent = 0;
    if (scan->at < scan->end && (*scan->at | 0x20) == 'e') {
        is_integer = false;
        if (!read_exponent(scan, &exponent)) {
            return JSON_SYNTAX;
        }
    }
    if (is_integer) {
        return integer_fits(whole, whole_len) ? JSON_OK : JSON_NUMBER_RANGE;
    }
    int64_t power = leading_power(whole, whole_len, fraction, fraction_len) + exponent;
    return power < 308 ? JSON_OK : JSON_NUMBER_RANGE; // a double ends at 1.8e308
}

enum json_fault json_check_number(const unsigned char **at, const unsigned char *end)
{
    struct scan scan = {*at, end};
    enum json_fault fault = check(&scan);
    *at = scan.at;
    return fault;
}
