// SPDX-License-Identifier: Apache-2.0
// comandactl product, stock: what is sold, for how much, and what is there, from files of JSON
// lines.
#include "loader.h"

static enum ctl_exit run_product(struct ctl *ctl)
{
    static const struct load_job job = {.command = {"catalogue.list_product", 22},
                                        .name_member = {"sku", 3}};
    return load_file(ctl, &job);
}

static enum ctl_exit run_reprice(struct ctl *ctl)
{
    static const struct load_job job = {.command = {"catalogue.reprice_product", 25},
                                        .name_member = {"sku", 3},
                                        .name_outside = true};
    return load_file(ctl, &job);
}

static enum ctl_exit run_retire(struct ctl *ctl)
{
    static const struct load_job job = {.command = {"catalogue.retire_product", 24},
                                        .name_member = {"sku", 3},
                                        .name_outside = true};
    return load_file(ctl, &job);
}

static enum ctl_exit run_stock(struct ctl *ctl)
{
    static const struct load_job job = {.command = {"inventory.receive_stock_item", 28},
                                        .name_member = {"sku", 3},
                                        .receipt_member = {"receipt", 7},
                                        .once = true};
    return load_file(ctl, &job);
}

static const struct ctl_option load_options[] = {
    {"--tenant", "NAME", "the tenant (else COMANDA_TENANT, else main)"},
    {NULL, NULL, NULL},
};

static const struct ctl_verb product_verbs[] = {
    {"load", "FILE", 1, 1, "list the products of a file; a product that is listed so already stays",
     load_options, run_product},
    {"reprice", "FILE", 1, 1, "give products other prices; orders placed before keep theirs",
     load_options, run_reprice},
    {"retire", "FILE", 1, 1, "take products out of the catalogue; listing one again brings it back",
     load_options, run_retire},
    {NULL, NULL, 0, 0, NULL, NULL, NULL},
};

const struct ctl_noun ctl_product = {
    .name = "product",
    .summary = "what is sold",
    .verbs = product_verbs,
    .examples = "  comandactl product load products.ndjson\n"
                "  a line: {\"sku\":\"SKU-1\",\"name\":\"Cup\",\"price\":{\"amount\":1990,"
                "\"currency\":\"BRL\"}}\n"
                "  comandactl product reprice prices.ndjson\n"
                "  a line: {\"sku\":\"SKU-1\",\"price\":{\"amount\":2490,\"currency\":\"BRL\"}}\n"
                "  comandactl product retire gone.ndjson\n"
                "  a line: {\"sku\":\"SKU-1\"}\n",
};

static const struct ctl_verb stock_verbs[] = {
    {"load", "FILE", 1, 1,
     "receive the quantities of a file into stock; the same file counts once, however often",
     load_options, run_stock},
    {NULL, NULL, 0, 0, NULL, NULL, NULL},
};

const struct ctl_noun ctl_stock = {
    .name = "stock",
    .summary = "what is there to be sold",
    .verbs = stock_verbs,
    .examples = "  comandactl stock load stock.ndjson\n"
                "  a line: {\"sku\":\"SKU-1\",\"quantity\":100}\n",
};
