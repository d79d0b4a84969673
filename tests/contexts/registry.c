// SPDX-License-Identifier: Apache-2.0
// The contexts of a program that knows no shop: counting alone.
#include "contexts/counting_context.h"

const struct context_registry *context_registry(void)
{
    static const struct bounded_context *const contexts[] = {&counting_context};
    static const struct context_registry registry = {contexts, 1};
    return &registry;
}
