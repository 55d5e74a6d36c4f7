/* SPDX-License-Identifier: Apache-2.0 */
/* data_bed.h - data sets written for a test, opened, and compared with what they hold
 *
 * Every program has a folder of its own, with a cache in it, from make_folder () to remove_folder ().
 * Records of text have four tokens more than one: `context` is 4. */
#ifndef MUSTER_TESTS_DATA_BED_H
#define MUSTER_TESTS_DATA_BED_H

#include "worker/data/data.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

extern char folder[], cache[64];

int make_folder (void **state);
int remove_folder (void **state);

/* --- files in the folder; the path of one lives until the eighth after it ------------------------ */

const char *in_folder (const char *name);
const char *write_bytes (const char *name, const void *bytes, size_t size);
const char *write_text (const char *name, const char *text);
const char *write_gzip (const char *name, const void *bytes, size_t size);

/* --- opening ---------------------------------------------------------------------------------- */

struct mu_data_spec spec_of (const char *const *paths, uint32_t count);
struct mu_data *open_spec (const struct mu_data_spec *spec, struct mu_data_info *info);
struct mu_data *open_path (const char *path, struct mu_data_info *info);
/* It is refused with CODE and a sentence that has WORDS in it. */
void refuse_spec (const struct mu_data_spec *spec, enum mu_code code, const char *words);
void refuse_path (const char *path, enum mu_code code, const char *words);

/* RECORD begins with these tokens; with the bytes of this text. */
void check_tokens (struct mu_data *data, uint64_t record, const int32_t *wanted, size_t count);
void check_text (struct mu_data *data, uint64_t record, const char *wanted);

#endif
