/* SPDX-License-Identifier: Apache-2.0 */
/* io_register_kinds.h - what each kind of register does; for io_register.c alone
 *
 * All speak of texts (reign_text.h): an empty one is the empty value. io_register.c has looked at
 * the values before; `limit_ms` is the whole call's. */
#ifndef COORD_IO_REGISTER_KINDS_H
#define COORD_IO_REGISTER_KINDS_H

#include "clock.h"
#include "io_register.h"
#include "reign_text.h"

struct reign_text {
    size_t size;
    char text[REIGN_TEXT_MAX];
};

struct register_kind {
    const char *scheme; /* with the colon */
    int (*open) (void **own_p, const char *rest, const struct register_options *options,
                 struct mu_error *error);
    void (*close) (void *own);
    int (*read) (void *own, uint32_t limit_ms, struct reign_text *value, struct mu_error *error);
    /* As register_swap (); `revision` is that of `expected`. */
    int (*swap) (void *own, uint32_t limit_ms, uint64_t revision, const struct reign_text *expected,
                 const struct reign_text *next, struct mu_error *error);
};

extern const struct register_kind register_file, register_majority, register_lease;

static inline bool reign_text_equal (const struct reign_text *a, const struct reign_text *b)
{
    return a->size == b->size && !__builtin_memcmp (a->text, b->text, a->size);
}

#endif
