// SPDX-License-Identifier: Apache-2.0
// Points in time as numbers; reading a clock is the business of the outer layers.
#include "base/instant.h"

enum { US_PER_MS = 1000, MS_PER_DAY = 86400000 };

// The calendar of proleptic Gregorian days by Howard Hinnant ("chrono-compatible low-level date
// algorithms"): years begin in March, so that the leap day is the last one; eras are 400 years.
static void civil_from_days(int64_t days, int *year, int *month, int *day)
{
    days += 719468; // from 1970-01-01 to 0000-03-01
    int64_t era = days / 146097;
    int64_t day_of_era = days - era * 146097;
    int64_t year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t march_month = (5 * day_of_year + 2) / 153;
    *day = (int)(day_of_year - (153 * march_month + 2) / 5 + 1);
    *month = (int)(march_month < 10 ? march_month + 3 : march_month - 9);
    *year = (int)(year_of_era + era * 400 + (*month <= 2));
}

static int64_t days_from_civil(int year, int month, int day)
{
    year -= month <= 2;
    int64_t era = year / 400; // years 1 to 9999 only, so never below zero
    int64_t year_of_era = year - era * 400;
    int64_t day_of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
    int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    return era * 146097 + day_of_era - 719468;
}

static void write_digits(char *text, int width, int value)
{
    for (int at = width - 1; at >= 0; at--) {
        text[at] = (char)('0' + value % 10);
        value /= 10;
    }
}

static int64_t floor_div(int64_t value, int64_t by)
{
    return value / by - (value % by < 0);
}

void instant_format(instant_us at, char text[INSTANT_TEXT_LEN])
{
    static const char form[] = "0000-00-00T00:00:00.000Z";
    int64_t unix_ms = floor_div(at, US_PER_MS);
    int64_t days = floor_div(unix_ms, MS_PER_DAY);
    int ms = (int)(unix_ms - days * MS_PER_DAY);
    int year, month, day;
    civil_from_days(days, &year, &month, &day);
    for (int i = 0; i < INSTANT_TEXT_LEN; i++) {
        text[i] = form[i];
    }
    write_digits(text, 4, year);
    write_digits(text + 5, 2, month);
    write_digits(text + 8, 2, day);
    write_digits(text + 11, 2, ms / 3600000);
    write_digits(text + 14, 2, ms / 60000 % 60);
    write_digits(text + 17, 2, ms / 1000 % 60);
    write_digits(text + 20, 3, ms % 1000);
}

static bool has_form(struct str text)
{
    static const char form[] = "dddd-dd-ddTdd:dd:dd.dddZ";
    if (text.len != INSTANT_TEXT_LEN) {
        return false;
    }
    for (int i = 0; i < INSTANT_TEXT_LEN; i++) {
        bool fits =
            form[i] == 'd' ? text.data[i] >= '0' && text.data[i] <= '9' : text.data[i] == form[i];
        if (!fits) {
            return false;
        }
    }
    return true;
}

static int read_digits(const char *text, int width)
{
    int value = 0;
    for (int at = 0; at < width; at++) {
        value = value * 10 + (text[at] - '0');
    }
    return value;
}

static int days_in_month(int year, int month)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return month == 2 && leap ? 29 : days[month - 1];
}

bool instant_parse(struct str text, instant_us *at)
{
    if (!has_form(text)) {
        return false;
    }
    int year = read_digits(text.data, 4);
    int month = read_digits(text.data + 5, 2);
    int day = read_digits(text.data + 8, 2);
    int hour = read_digits(text.data + 11, 2);
    int minute = read_digits(text.data + 14, 2);
    int second = read_digits(text.data + 17, 2);
    if (year < 1 || month < 1 || month > 12 || day < 1 || day > days_in_month(year, month) ||
        hour > 23 || minute > 59 || second > 59) {
        return false;
    }
    int64_t seconds = ((days_from_civil(year, month, day) * 24 + hour) * 60 + minute) * 60 + second;
    *at = (seconds * 1000 + read_digits(text.data + 20, 3)) * US_PER_MS;
    return true;
}
