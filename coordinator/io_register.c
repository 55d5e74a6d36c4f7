/* SPDX-License-Identifier: Apache-2.0 */
/* io_register.c - which kind of register a URL names; see io_register.h */
#include "io_register.h"

#include "clock.h"
#include "io_register_kinds.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct io_register {
    const struct register_kind *kind;
    void *own;
    char *url;
};

static bool is_of (const char *url, const char *scheme)
{
    return !strncmp (url, scheme, strlen (scheme));
}

static const struct register_kind *find_kind (const char *url, struct mu_error *error)
{
    static const struct register_kind *const kinds[] = { &register_file, &register_majority };
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (is_of (url, kinds[i]->scheme))
            return kinds[i];
    if (is_of (url, "lease:"))
        return register_load ("muster-lease.so", error);
    mu_fail (error, MU_CONFIG, "there are file:PATH, majority: and lease:NAMESPACE/NAME");
    return NULL;
}

static int refuse (const struct register_options *options, struct mu_error *error)
{
    mu_error_prefix (error, "--register %s: ", options->url);
    return -1;
}

int register_open (struct io_register **register_p, const struct register_options *options,
                   struct mu_error *error)
{
    *register_p = NULL;
    const struct register_kind *kind = find_kind (options->url, error);
    if (!kind)
        return refuse (options, error);
    struct io_register *reg = calloc (1, sizeof *reg);
    if (!reg || !(reg->url = strdup (options->url))) {
        free (reg);
        return mu_fail (error, MU_UNAVAILABLE, "out of memory");
    }
    reg->kind = kind;
    if (kind->open (&reg->own, options->url + strlen (kind->scheme), options, error)) {
        free (reg->url);
        free (reg);
        return refuse (options, error);
    }
    *register_p = reg;
    return 0;
}

void register_close (struct io_register **register_p)
{
    struct io_register *reg = *register_p;
    if (!reg)
        return;
    reg->kind->close (reg->own);
    free (reg->url);
    free (reg);
    *register_p = NULL;
}

static int name_it (const struct io_register *reg, struct mu_error *error)
{
    mu_error_prefix (error, "the register %s: ", reg->url);
    return -1;
}

int register_read (struct io_register *reg, uint32_t limit_ms, struct reign *value,
                   struct mu_error *error)
{
    struct reign_text text = { 0 };
    if (reg->kind->read (reg->own, limit_ms, &text, error) ||
        reign_decode (value, text.text, text.size, error))
        return name_it (reg, error);
    return 0;
}

/* false: it is nobody's value. */
static bool encode (const struct reign *reign, struct reign_text *text)
{
    memset (text, 0, sizeof *text);
    if (!reign->term)
        return !reign->revision;
    text->size = reign_encode (reign, text->text);
    return text->size > 0;
}

int register_swap (struct io_register *reg, uint32_t limit_ms, const struct reign *expected,
                   const struct reign *next, struct mu_error *error)
{
    struct reign_text old, new;
    if (!encode (expected, &old) || !encode (next, &new) || !new.size ||
        next->revision != expected->revision + 1)
        return mu_fail (error, MU_INTERNAL,
                        "revision %" PRIu64 " of who reigns cannot follow %" PRIu64
                        ": a leader, a cluster and addresses without line ends belong to it",
                        next->revision, expected->revision);
    if (reg->kind->swap (reg->own, limit_ms, expected->revision, &old, &new, error))
        return name_it (reg, error);
    return 0;
}
