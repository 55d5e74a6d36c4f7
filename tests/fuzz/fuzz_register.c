/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_register.c - any bytes as what a register or an acceptor's file holds, or an API server says
 *
 * No fuzzer guesses a sum, so texts are read twice: as they are, and between a right head and a
 * right sum. What is accepted is written back byte for byte: a value has one text. The first byte
 * chooses. */
#include "lease_json.h"
#include "lines.h"
#include "vote_words.h"

#include <jansson.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

#define TEXT_MAX 8192u

static void must (bool truth)
{
    if (!truth)
        abort ();
}

/* In memory of exactly this size, so that a byte read behind it is noticed. */
static char *copy_of (const void *data, size_t size)
{
    char *copy = malloc (size ? size : 1);
    must (copy != NULL);
    if (size)
        memcpy (copy, data, size);
    return copy;
}

static void read_reign (const char *text, size_t size)
{
    struct mu_error error = { .text = "" };
    struct reign reign;
    char again[REIGN_TEXT_MAX];
    char *copy = copy_of (text, size);
    if (reign_decode (&reign, copy, size, &error))
        must (strlen (error.text) > 10);
    else if (size > 0 && size <= sizeof again)
        must (reign_encode (&reign, again) == size && !memcmp (again, copy, size));
    free (copy);
}

static void read_acceptor (const char *text, size_t size)
{
    struct mu_error error = { .text = "" };
    struct acceptor_state state;
    struct acceptor_place place;
    char again[ACCEPTOR_TEXT_MAX];
    char *copy = copy_of (text, size);
    if (acceptor_decode (&state, &place, copy, size, &error))
        must (strlen (error.text) > 10);
    else
        must (acceptor_state_is_valid (&state) && acceptor_encode (&state, &place, again) == size &&
              !memcmp (again, copy, size));
    free (copy);
}

static void read_sealed (const char *head, const char *text, size_t size,
                         void (*read) (const char *, size_t))
{
    struct lines_out out;
    char *sealed = malloc (TEXT_MAX);
    must (sealed != NULL);
    lines_begin (&out, sealed, TEXT_MAX, head);
    if (size < TEXT_MAX - 100) {
        memcpy (sealed + out.size, text, size);
        out.size += size;
        must (lines_end (&out));
        read (sealed, out.size);
    }
    free (sealed);
}

static void read_lease (const char *text, size_t size)
{
    struct mu_error error = { .text = "" };
    struct reign_text value;
    char say[200];
    char *copy = copy_of (text, size);
    lease_refusal (copy, size, say, sizeof say);
    must (*say);
    json_t *lease = lease_parse (copy, size, &error);
    if (lease && !lease_value (lease, &value, &error) && value.size) {
        char *next = lease_with (lease, "training", "muster", &value, &error);
        must (next != NULL);
        free (next);
    } else
        must (lease || strlen (error.text) > 10);
    json_decref (lease);
    free (copy);
}

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    const char *text = (const char *)data + 1;
    switch (data[0] % 3) {
    case 0:
        read_reign (text, size - 1);
        read_sealed ("muster-reign 1", text, size - 1, read_reign);
        break;
    case 1:
        read_acceptor (text, size - 1);
        read_sealed ("muster-acceptor 1", text, size - 1, read_acceptor);
        break;
    default: read_lease (text, size - 1);
    }
    return 0;
}
