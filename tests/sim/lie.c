/* SPDX-License-Identifier: Apache-2.0 */
/* lie.c - see lie.h */
#include "lie.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define BYTES_MAX 512u

static uint64_t luck;
static const char *(*somebody) (void);
static uint8_t rooms[4][BYTES_MAX]; /* a word has fewer such fields that change */
static uint32_t room;

void lie_begin (uint64_t seed, const char *(*name_of_somebody) (void))
{
    luck = seed;
    somebody = name_of_somebody;
}

uint64_t lie_pick (uint64_t below)
{
    luck = (luck ^ UINT64_C (0x9e3779b97f4a7c15)) * UINT64_C (0xbf58476d1ce4e5b9);
    luck ^= luck >> 29;
    return (luck >> 8) % below;
}

static uint64_t some_number (uint64_t was)
{
    switch (lie_pick (9)) {
    case 0: return 0;
    case 1: return UINT64_MAX;
    case 2: return was + 1;
    case 3: return was - 1;
    case 4: return UINT64_C (1) << lie_pick (64);
    case 5: return was + lie_pick (100);
    case 6: return was * 2;
    case 7: return UINT32_MAX;
    default: return lie_pick (10);
    }
}

static double some_fraction (double was)
{
    switch (lie_pick (6)) {
    case 0: return 0;
    case 1: return -was;
    case 2: return NAN;
    case 3: return INFINITY;
    case 4: return 1e300;
    default: return was * 2;
    }
}

static uint64_t within (const struct mu_field *field, uint64_t number)
{
    if (number < field->low)
        return field->low;
    return number > field->high ? field->high : number;
}

static void change_text (const struct mu_field *field, char *text)
{
    uint64_t what = lie_pick (4);
    if (what == 0)
        *text = '\0';
    else if (what == 1)
        mu_text_set (text, field->high + 1, somebody ());
    else if (what == 2)
        snprintf (text, field->high + 1, "%" PRIu64, some_number (lie_pick (4)));
    else
        for (uint64_t i = 0; i <= field->high; i++)
            text[i] = i < field->high ? 'x' : '\0';
}

static void change_blob (const struct mu_field *field, struct mu_blob *blob)
{
    uint64_t most = field->high < BYTES_MAX ? field->high : BYTES_MAX, what = lie_pick (4);
    bool text = field->kind == MU_FIELD_LONGTEXT;
    if (what == 0) {
        blob->size = 0;
    } else if (what == 1) {
        blob->size = (uint32_t)(blob->size ? lie_pick (blob->size) : 0);
        if (text)
            blob->size = 0; /* half a character is no text */
    } else {
        uint8_t *bytes = rooms[room++ % 4];
        memset (bytes, text ? 'x' : what == 2 ? 0xff : (int)lie_pick (256), BYTES_MAX);
        *blob = (struct mu_blob){ bytes, (uint32_t)(what == 2 ? most : lie_pick (most + 1)) };
    }
}

static void change (const struct mu_field *field, uint8_t *at)
{
    uint32_t word;
    uint64_t number;
    double fraction;
    switch (field->kind) {
    case MU_FIELD_U32:
        memcpy (&word, at, sizeof word);
        word = (uint32_t)within (field, some_number (word) & UINT32_MAX);
        memcpy (at, &word, sizeof word);
        return;
    case MU_FIELD_U64:
    case MU_FIELD_I64:
        memcpy (&number, at, sizeof number);
        number = some_number (number);
        number = field->kind == MU_FIELD_U64 ? within (field, number) : number;
        memcpy (at, &number, sizeof number);
        return;
    case MU_FIELD_F64:
        memcpy (&fraction, at, sizeof fraction);
        fraction = some_fraction (fraction);
        memcpy (at, &fraction, sizeof fraction);
        return;
    case MU_FIELD_BOOL: *at = !*at; return;
    case MU_FIELD_TEXT: change_text (field, (char *)at); return;
    case MU_FIELD_LONGTEXT:
    case MU_FIELD_BYTES: change_blob (field, (struct mu_blob *)(void *)at); return;
    case MU_FIELD_LIST: return; /* no worker and no client says one */
    }
}

static uint8_t *body_of (struct mu_wire *wire)
{
    return (uint8_t *)wire + mu_wire_family.body_offset;
}

static bool is_said_to_us (const struct mu_shape *shape)
{
    return shape && (shape->sender == MU_ROLE_WORKER || shape->sender == MU_ROLE_CLIENT);
}

/* Another word, that says the same where both have a field of that name and kind. */
static void say_another (struct mu_wire *wire)
{
    struct mu_wire other = { .term = wire->term };
    const struct mu_shape *from = mu_shape_find (&mu_wire_family, wire->type), *to;
    do {
        other.type = (enum mu_wire_type)lie_pick (mu_wire_family.shape_count);
        to = mu_shape_find (&mu_wire_family, other.type);
    } while (!is_said_to_us (to));
    for (uint32_t i = 0; i < to->field_count; i++) {
        const struct mu_field *field = &to->fields[i];
        const struct mu_field *same = mu_shape_field (from, field->name);
        uint64_t number = field->low;
        if (field->kind != MU_FIELD_U64 && field->kind != MU_FIELD_U32)
            continue;
        if (same && same->kind == field->kind)
            memcpy (&number, body_of (wire) + same->offset, field->kind == MU_FIELD_U64 ? 8 : 4);
        number = within (field, number);
        memcpy (body_of (&other) + field->offset, &number, field->kind == MU_FIELD_U64 ? 8 : 4);
    }
    *wire = other;
}

/* Of a checkpoint that could be: the job, the generation and the step that this word speaks of, or the
 * next ones. */
static void say_saved (struct mu_wire *wire)
{
    static const char path[] = "/checkpoints/false";
    const struct mu_shape *from = mu_shape_find (&mu_wire_family, wire->type);
    uint64_t number[3] = { lie_pick (3), lie_pick (3), lie_pick (200) };
    const char *names[] = { "job", "generation", "step" };
    for (uint32_t i = 0; i < 3; i++) {
        const struct mu_field *field = mu_shape_field (from, names[i]);
        if (field && field->kind == MU_FIELD_U64)
            memcpy (&number[i], body_of (wire) + field->offset, sizeof number[i]);
    }
    *wire = (struct mu_wire){ .type = MU_WIRE_SAVED,
                              .term = wire->term,
                              .saved = { .job = number[0],
                                         .generation = number[1],
                                         .step = number[2] + lie_pick (3),
                                         .path = { path, sizeof path - 1 },
                                         .bytes = 4096 } };
    mu_text_set (wire->saved.weights_hash, sizeof wire->saved.weights_hash, "false");
}

void lie (struct mu_wire *wire)
{
    uint64_t other = lie_pick (6);
    if (other == 0)
        say_another (wire);
    else if (other == 1)
        say_saved (wire);
    const struct mu_shape *shape = mu_shape_find (&mu_wire_family, wire->type);
    for (uint64_t left = lie_pick (4); left > 0 && shape->field_count; left--) {
        const struct mu_field *field = &shape->fields[lie_pick (shape->field_count)];
        change (field, body_of (wire) + field->offset);
    }
    if (lie_pick (200) == 0)
        wire->term = some_number (wire->term);
}
