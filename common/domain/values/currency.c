// SPDX-License-Identifier: Apache-2.0
// A currency by its alphabetic code (ISO 4217, the active ones).
#include "domain/values/currency.h"

#include <string.h>

#include "domain/values/code_table.h"

// clang-format off
static const char codes[] =
    "AEDAFNALLAMDANGAOAARSAUDAWGAZNBAMBBDBDTBGNBHDBIFBMDBNDBOBBOVBRLBSDBTNBWPBYNBZDCADCDFCHECHF"
    "CHWCLFCLPCNYCOPCOUCRCCUPCVECZKDJFDKKDOPDZDEGPERNETBEURFJDFKPGBPGELGHSGIPGMDGNFGTQGYDHKDHNL"
    "HTGHUFIDRILSINRIQDIRRISKJMDJODJPYKESKGSKHRKMFKPWKRWKWDKYDKZTLAKLBPLKRLRDLSLLYDMADMDLMGAMKD"
    "MMKMNTMOPMRUMURMVRMWKMXNMXVMYRMZNNADNGNNIONOKNPRNZDOMRPABPENPGKPHPPKRPLNPYGQARRONRSDRUBRWF"
    "SARSBDSCRSDGSEKSGDSHPSLESOSSRDSSPSTNSVCSYPSZLTHBTJSTMTTNDTOPTRYTTDTWDTZSUAHUGXUSDUSNUYIUYU"
    "UYWUZSVEDVESVNDVUVWSTXAFXCDXCGXOFXPFYERZARZMWZWG";
// clang-format on

bool currency_parse(struct str text, struct currency *currency)
{
    if (!code_table_has(STR(codes), sizeof(currency->code), text)) {
        return false;
    }
    memcpy(currency->code, text.data, sizeof(currency->code));
    return true;
}

bool currency_eq(struct currency left, struct currency right)
{
    return memcmp(left.code, right.code, sizeof(left.code)) == 0;
}

bool currency_is_set(struct currency currency)
{
    return currency.code[0] != '\0';
}

struct str currency_text(const struct currency *currency)
{
    return (struct str){currency->code, currency_is_set(*currency) ? sizeof(currency->code) : 0};
}
