// SPDX-License-Identifier: Apache-2.0
// libFuzzer's entry: COMANDA_FUZZ names the target.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "fuzz/targets.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct fuzz_target *target;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    target = fuzz_target_find(str_from(getenv("COMANDA_FUZZ")));
    if (target == NULL) {
        fputs("COMANDA_FUZZ names no target: see tests/fuzz/targets.h\n", stderr);
        exit(2);
    }
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    target->run((struct str){(const char *)data, size});
    return 0;
}
