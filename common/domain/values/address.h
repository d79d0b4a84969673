// SPDX-License-Identifier: Apache-2.0
// Where a parcel goes.
#pragma once

#include <stdbool.h>

#include "base/str.h"

enum { ADDRESS_NAME_MAX = 200, ADDRESS_STREET_MAX = 200, ADDRESS_CITY_MAX = 100 }; // characters

struct address {
    struct str name; // whom it is for
    struct str street;
    struct str city;
    struct str postal_code;
    struct str country;
};

// An ISO 3166-1 alpha-2 code in upper case.
bool country_is_valid(struct str country);

// In the form of that country where we know it ("01310-100" or "01310100" for BR), elsewhere 2 to
// 10 letters, digits, spaces and hyphens (ASCII), with a letter or digit first and last.
bool postal_code_is_valid(struct str country, struct str postal_code);
