// SPDX-License-Identifier: Apache-2.0
// A migrated database of a test program's own, made before its first test and dropped after its
// last.
#pragma once

// In a test file, so that both run in the parent of all tests:
//   ReportHook(PRE_ALL)(struct criterion_test_set *set) { (void)set; test_database_make(); }
//   ReportHook(POST_ALL)(struct criterion_global_stats *s) { (void)s; test_database_drop(); }
// COMANDA_TEST_POSTGRES must name a role that may create databases. Both exit when they cannot.
void test_database_make(void);
void test_database_drop(void);

// Its conninfo, for postgres_new; fails the test when it was not made.
const char *test_database(void);
