// SPDX-License-Identifier: Apache-2.0
// Where a parcel goes.
#include "domain/values/address.h"

#include "domain/values/code_table.h"

// clang-format off
static const char countries[] =
    "ADAEAFAGAIALAMAOAQARASATAUAWAXAZBABBBDBEBFBGBHBIBJBLBMBNBOBQBRBSBTBVBWBYBZCACCCDCFCGCHCICK"
    "CLCMCNCOCRCUCVCWCXCYCZDEDJDKDMDODZECEEEGEHERESETFIFJFKFMFOFRGAGBGDGEGFGGGHGIGLGMGNGPGQGRGS"
    "GTGUGWGYHKHMHNHRHTHUIDIEILIMINIOIQIRISITJEJMJOJPKEKGKHKIKMKNKPKRKWKYKZLALBLCLILKLRLSLTLULV"
    "LYMAMCMDMEMFMGMHMKMLMMMNMOMPMQMRMSMTMUMVMWMXMYMZNANCNENFNGNINLNONPNRNUNZOMPAPEPFPGPHPKPLPM"
    "PNPRPSPTPWPYQARERORSRURWSASBSCSDSESGSHSISJSKSLSMSNSOSRSSSTSVSXSYSZTCTDTFTGTHTJTKTLTMTNTOTR"
    "TTTVTWTZUAUGUMUSUYUZVAVCVEVGVIVNVUWFWSYEYTZAZMZW";
// clang-format on

bool country_is_valid(struct str country)
{
    return code_table_has(STR(countries), 2, country);
}

// 9 stands for a digit, anything else for itself.
static const struct postal_form {
    struct str country;
    struct str form;
} postal_forms[] = {
    {{"BR", 2}, {"99999-999", 9}}, {{"BR", 2}, {"99999999", 8}}, {{"DE", 2}, {"99999", 5}},
    {{"ES", 2}, {"99999", 5}},     {{"FR", 2}, {"99999", 5}},    {{"IT", 2}, {"99999", 5}},
    {{"PT", 2}, {"9999-999", 8}},  {{"US", 2}, {"99999", 5}},    {{"US", 2}, {"99999-9999", 10}},
};

static bool has_form(struct str text, struct str form)
{
    if (text.len != form.len) {
        return false;
    }
    for (size_t at = 0; at < form.len; at++) {
        char byte = text.data[at];
        if (form.data[at] == '9' ? byte < '0' || byte > '9' : byte != form.data[at]) {
            return false;
        }
    }
    return true;
}

static bool is_alphanumeric(char byte)
{
    return (byte >= '0' && byte <= '9') || (byte >= 'A' && byte <= 'Z') ||
           (byte >= 'a' && byte <= 'z');
}

static bool is_postal_code_anywhere(struct str text)
{
    if (text.len < 2 || text.len > 10 || !is_alphanumeric(text.data[0]) ||
        !is_alphanumeric(text.data[text.len - 1])) {
        return false;
    }
    for (size_t at = 0; at < text.len; at++) {
        if (!is_alphanumeric(text.data[at]) && text.data[at] != ' ' && text.data[at] != '-') {
            return false;
        }
    }
    return true;
}

bool postal_code_is_valid(struct str country, struct str postal_code)
{
    bool known = false;
    for (size_t i = 0; i < sizeof(postal_forms) / sizeof(postal_forms[0]); i++) {
        if (str_eq(postal_forms[i].country, country)) {
            known = true;
            if (has_form(postal_code, postal_forms[i].form)) {
                return true;
            }
        }
    }
    return !known && is_postal_code_anywhere(postal_code);
}
