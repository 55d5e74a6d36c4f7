/* SPDX-License-Identifier: Apache-2.0 */
/* io_register_kinds.h - what each kind of register does; for io_register.c and the kinds alone
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

extern const struct register_kind register_file, register_majority;

/* A kind that needs much which the others do not lies in a file of its own, which exports one such
 * table under REGISTER_MODULE_SYMBOL. Raise the number when anything here changes that it uses. */
#define REGISTER_MODULE_ABI    1u
#define REGISTER_MODULE_SYMBOL "muster_register_module"

struct register_module {
    uint32_t abi;
    const char *version; /* of Muster: the coordinator's own, for both are made together */
    struct register_kind kind;
};

/* The kind in this file; NULL, CONFIG with a sentence: it is not there, or is not ours. */
const struct register_kind *register_load (const char *file, struct mu_error *error);

static inline bool reign_text_equal (const struct reign_text *a, const struct reign_text *b)
{
    return a->size == b->size && !__builtin_memcmp (a->text, b->text, a->size);
}

#endif
