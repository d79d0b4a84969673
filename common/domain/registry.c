// SPDX-License-Identifier: Apache-2.0
// The shop's contexts, as linked into its programs; a test may link a registry of its own.
#include "domain/bounded_context.h"
#include "domain/catalogue/catalogue_context.h"
#include "domain/inventory/inventory_context.h"
#include "domain/ordering/ordering_context.h"
#include "domain/payments/payments_context.h"
#include "domain/shipping/shipping_context.h"

static const struct bounded_context *const contexts[] = {
    &ordering_context, &payments_context, &inventory_context, &shipping_context, &catalogue_context,
};

const struct context_registry *context_registry(void)
{
    static const struct context_registry registry = {contexts,
                                                     sizeof(contexts) / sizeof(contexts[0])};
    return &registry;
}
