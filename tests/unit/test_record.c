/* SPDX-License-Identifier: Apache-2.0 */
/* test_record.c - every message and record survives the wire; nothing else gets in
 *
 * Each shape is filled with values made from its table, so a new field is tested the day it is
 * written. schemas/golden/FAMILY-1.hex holds the bytes that version 1 released; a build that no
 * longer reads or writes them fails. `MUSTER_WRITE_GOLDEN=1 test_record` adds shapes that are not
 * yet there.
 */
#include "journal.h"
#include "recording.h"
#include "wire.h"

#include <jansson.h>
#include <msgpack.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define LINE_MAX_BYTES (1 << 20)

static const struct mu_family *const families[] = { &mu_wire_family, &mu_journal_family,
                                                    &mu_recording_family };

/* --- values made from the tables -------------------------------------------------------------- */

static uint64_t sample_number (const struct mu_field *field)
{
    uint64_t value = 1000 + field->id;
    return value < field->low ? field->low : value > field->high ? field->high : value;
}

static void fill (const struct mu_shape *shape, uint8_t *body);

static void fill_list (const struct mu_field *field, uint8_t *body)
{
    uint32_t count = 2;
    uint8_t *items = test_calloc (count, field->item->size);
    for (uint32_t i = 0; i < count; i++)
        fill (field->item, items + i * field->item->size);
    memcpy (body + field->offset, &items, sizeof items);
    memcpy (body + field->count_offset, &count, sizeof count);
}

static void fill_field (const struct mu_field *field, uint8_t *body)
{
    uint64_t u64 = sample_number (field);
    uint32_t u32 = (uint32_t)u64;
    int64_t i64 = -(int64_t)field->id;
    double f64 = 0.5 + field->id;
    bool truth = true;
    struct mu_blob blob = { "s\xc3\xa4mple", 7 };
    switch (field->kind) {
    case MU_FIELD_U32: memcpy (body + field->offset, &u32, sizeof u32); break;
    case MU_FIELD_U64: memcpy (body + field->offset, &u64, sizeof u64); break;
    case MU_FIELD_I64: memcpy (body + field->offset, &i64, sizeof i64); break;
    case MU_FIELD_F64: memcpy (body + field->offset, &f64, sizeof f64); break;
    case MU_FIELD_BOOL: memcpy (body + field->offset, &truth, sizeof truth); break;
    case MU_FIELD_TEXT: memcpy (body + field->offset, "s\xc3\xa4mple", 8); break;
    case MU_FIELD_LONGTEXT:
    case MU_FIELD_BYTES: memcpy (body + field->offset, &blob, sizeof blob); break;
    case MU_FIELD_LIST: fill_list (field, body); break;
    }
}

static void fill (const struct mu_shape *shape, uint8_t *body)
{
    for (uint32_t i = 0; i < shape->field_count; i++)
        fill_field (&shape->fields[i], body);
}

static void unfill (const struct mu_shape *shape, uint8_t *body)
{
    for (uint32_t i = 0; i < shape->field_count; i++)
        if (shape->fields[i].kind == MU_FIELD_LIST) {
            uint8_t *items;
            memcpy (&items, body + shape->fields[i].offset, sizeof items);
            test_free (items);
        }
}

static uint8_t *sample (const struct mu_family *family, uint32_t id)
{
    uint8_t *record = test_calloc (1, family->size);
    uint64_t term = 7;
    memcpy (record, &id, sizeof id);
    memcpy (record + sizeof (uint64_t), &term, sizeof term);
    fill (family->shapes[id], record + family->body_offset);
    return record;
}

static void unsample (const struct mu_family *family, uint8_t *record)
{
    uint32_t id;
    memcpy (&id, record, sizeof id);
    unfill (family->shapes[id], record + family->body_offset);
    test_free (record);
}

static char *as_json (const struct mu_family *family, uint32_t id, const uint8_t *record)
{
    json_t *object = mu_shape_to_json (family->shapes[id], record + family->body_offset);
    char *text = json_dumps (object, JSON_COMPACT);
    json_decref (object);
    return text;
}

/* --- there and back --------------------------------------------------------------------------- */

static void check_same (const struct mu_family *family, uint32_t id, const uint8_t *record,
                        const void *data, size_t size)
{
    struct mu_error error = { .text = "" };
    msgpack_zone zone;
    assert_true (msgpack_zone_init (&zone, 1024));
    uint8_t *back = test_calloc (1, family->size);
    if (mu_record_decode (family, back, data, size, 0, &zone, &error))
        fail_msg ("%s: %s", family->shapes[id]->name, error.text);
    char *before = as_json (family, id, record), *after = as_json (family, id, back);
    assert_string_equal (before, after);
    free (before);
    free (after);
    test_free (back);
    msgpack_zone_destroy (&zone);
}

static void every_shape_survives (void **state)
{
    (void)state;
    for (size_t f = 0; f < sizeof families / sizeof *families; f++)
        for (uint32_t id = 0; id < families[f]->shape_count; id++) {
            if (!families[f]->shapes[id])
                continue;
            uint8_t *record = sample (families[f], id);
            msgpack_sbuffer bytes;
            msgpack_sbuffer_init (&bytes);
            assert_int_equal (mu_record_encode (families[f], record, &bytes, NULL), 0);
            check_same (families[f], id, record, bytes.data, bytes.size);
            msgpack_sbuffer_destroy (&bytes);
            unsample (families[f], record);
        }
}

/* Every way to cut a message short, and every single byte changed: refused or read, never a crash.
 */
static void torn_and_bent_messages (void **state)
{
    (void)state;
    msgpack_zone zone;
    assert_true (msgpack_zone_init (&zone, 1024));
    uint32_t refused = 0;
    for (uint32_t id = 0; id < mu_wire_family.shape_count; id++) {
        if (!mu_wire_family.shapes[id])
            continue;
        uint8_t *record = sample (&mu_wire_family, id);
        struct mu_wire back;
        msgpack_sbuffer bytes;
        msgpack_sbuffer_init (&bytes);
        assert_int_equal (mu_record_encode (&mu_wire_family, record, &bytes, NULL), 0);
        for (size_t size = 0; size < bytes.size; size++) {
            msgpack_zone_clear (&zone);
            assert_int_equal (
                mu_record_decode (&mu_wire_family, &back, bytes.data, size, 0, &zone, NULL), -1);
        }
        for (size_t at = 0; at < bytes.size; at++) {
            msgpack_zone_clear (&zone);
            bytes.data[at] ^= (char)0xff;
            refused += mu_record_decode (&mu_wire_family, &back, bytes.data, bytes.size, 0, &zone,
                                         NULL) != 0;
            bytes.data[at] ^= (char)0xff;
        }
        msgpack_sbuffer_destroy (&bytes);
        unsample (&mu_wire_family, record);
    }
    assert_true (refused > 0);
    msgpack_zone_destroy (&zone);
}

/* --- versions --------------------------------------------------------------------------------- */

static void pack_head (msgpack_packer *out, uint32_t major, uint32_t minor, uint32_t id,
                       uint32_t fields)
{
    msgpack_pack_array (out, 5);
    msgpack_pack_uint32 (out, major);
    msgpack_pack_uint32 (out, minor);
    msgpack_pack_uint32 (out, id);
    msgpack_pack_uint64 (out, 3);
    msgpack_pack_map (out, fields);
}

static int decode_wire (const msgpack_sbuffer *bytes, uint32_t senders, struct mu_wire *wire,
                        struct mu_error *error)
{
    msgpack_zone zone;
    assert_true (msgpack_zone_init (&zone, 1024));
    int rc =
        mu_record_decode (&mu_wire_family, wire, bytes->data, bytes->size, senders, &zone, error);
    msgpack_zone_destroy (&zone);
    return rc;
}

static void versions (void **state)
{
    (void)state;
    struct mu_error error;
    struct mu_wire wire;
    msgpack_sbuffer bytes;
    msgpack_packer out;
    msgpack_sbuffer_init (&bytes);
    msgpack_packer_init (&out, &bytes, msgpack_sbuffer_write);

    pack_head (&out, MU_WIRE_MAJOR, MU_WIRE_MINOR + 1, MU_WIRE_PING, 2); /* a field of the future */
    msgpack_pack_uint32 (&out, 1);
    msgpack_pack_uint64 (&out, 5);
    msgpack_pack_uint32 (&out, 60);
    msgpack_pack_array (&out, 1);
    msgpack_pack_nil (&out);
    assert_int_equal (decode_wire (&bytes, 0, &wire, &error), 0);
    assert_int_equal (wire.ping.request, 5);
    assert_int_equal (wire.term, 3);

    bytes.size = 0;
    pack_head (&out, MU_WIRE_MAJOR, MU_WIRE_MINOR + 1, 999, 0); /* a message of the future */
    assert_int_equal (decode_wire (&bytes, 0, &wire, &error), -1);
    assert_int_equal (error.code, MU_TRY_AGAIN);

    bytes.size = 0;
    pack_head (&out, MU_WIRE_MAJOR + 1, 0, MU_WIRE_PING, 0);
    assert_int_equal (decode_wire (&bytes, 0, &wire, &error), -1);
    assert_int_equal (error.code, MU_PROTOCOL);
    assert_non_null (strstr (error.text, "version 2"));
    assert_non_null (strstr (error.text, "this side 1"));
    msgpack_sbuffer_destroy (&bytes);
}

/* One value of each kind and size, number `which`; false: there are no more. */
static bool pack_number (msgpack_packer *out, unsigned which)
{
    static const int64_t numbers[] = {
        0,  127, 128, 255,  256,  65535,  65536,  UINT32_MAX, (int64_t)1 << 32,       INT64_MAX,
        -1, -32, -33, -128, -129, -32768, -32769, INT32_MIN,  (int64_t)INT32_MIN - 1, INT64_MIN
    };
    if (which >= sizeof numbers / sizeof *numbers)
        return false;
    msgpack_pack_int64 (out, numbers[which]);
    return true;
}

static bool pack_sized (msgpack_packer *out, unsigned which)
{
    static const char some[65536];
    static const size_t sizes[] = { 0, 1, 2, 4, 8, 15, 16, 31, 32, 255, 256, 65535, 65536 };
    const unsigned count = sizeof sizes / sizeof *sizes;
    size_t size = sizes[which % count];
    switch (which / count) {
    case 0: msgpack_pack_str (out, size), msgpack_pack_str_body (out, some, size); break;
    case 1: msgpack_pack_bin (out, size), msgpack_pack_bin_body (out, some, size); break;
    case 2: msgpack_pack_ext (out, size, 5), msgpack_pack_ext_body (out, some, size); break;
    case 3:
        msgpack_pack_array (out, size);
        for (size_t i = 0; i < size; i++)
            msgpack_pack_map (out, 1), msgpack_pack_int (out, -7), msgpack_pack_double (out, 1);
        break;
    default: return false;
    }
    return true;
}

static bool pack_other (msgpack_packer *out, unsigned which)
{
    switch (which) {
    case 0: return !msgpack_pack_nil (out);
    case 1: return !msgpack_pack_true (out);
    case 2: return !msgpack_pack_false (out);
    case 3: return !msgpack_pack_float (out, 0.5f);
    case 4: return !msgpack_pack_double (out, 0.1);
    default: return false;
    }
}

typedef bool pack_one (msgpack_packer *out, unsigned which);
static pack_one *const packers[] = { pack_number, pack_sized, pack_other };

/* Whatever a field of the future holds, the one behind it is found. */
static void any_value_is_passed_over (void **state)
{
    (void)state;
    msgpack_sbuffer bytes;
    msgpack_packer out;
    msgpack_sbuffer_init (&bytes);
    msgpack_packer_init (&out, &bytes, msgpack_sbuffer_write);
    unsigned passed = 0;
    for (size_t kind = 0; kind < sizeof packers / sizeof *packers; kind++)
        for (unsigned which = 0;; which++) {
            struct mu_error error = { .text = "" };
            struct mu_wire wire;
            bytes.size = 0;
            pack_head (&out, MU_WIRE_MAJOR, MU_WIRE_MINOR + 1, MU_WIRE_PING, 2);
            msgpack_pack_uint32 (&out, 60);
            if (!packers[kind](&out, which))
                break;
            msgpack_pack_uint32 (&out, 1);
            msgpack_pack_uint64 (&out, 77);
            if (decode_wire (&bytes, 0, &wire, &error))
                fail_msg ("value %u: %s", which, error.text);
            assert_int_equal (wire.ping.request, 77);
            bytes.size--;
            assert_int_equal (decode_wire (&bytes, 0, &wire, &error), -1);
            passed++;
        }
    assert_int_equal (passed, 20 + 4 * 13 + 5);
    msgpack_sbuffer_destroy (&bytes);
}

static bool is_natural (const msgpack_sbuffer *bytes, size_t at, uint64_t *number)
{
    msgpack_zone zone;
    msgpack_object object;
    msgpack_zone_init (&zone, 1024);
    assert_int_equal (msgpack_unpack (bytes->data + at, bytes->size - at, NULL, &zone, &object),
                      MSGPACK_UNPACK_SUCCESS);
    *number = object.via.u64;
    msgpack_zone_destroy (&zone);
    return object.type == MSGPACK_OBJECT_POSITIVE_INTEGER;
}

/* A number is what msgpack-c takes for it, however wide it was written, and nothing else is one. */
static void numbers_of_any_width (void **state)
{
    (void)state;
    msgpack_sbuffer bytes;
    msgpack_packer out;
    msgpack_sbuffer_init (&bytes);
    msgpack_packer_init (&out, &bytes, msgpack_sbuffer_write);
    for (size_t kind = 0; kind < sizeof packers / sizeof *packers; kind++)
        for (unsigned which = 0;; which++) {
            struct mu_error error;
            struct mu_wire wire;
            uint64_t number;
            bytes.size = 0;
            pack_head (&out, MU_WIRE_MAJOR, MU_WIRE_MINOR, MU_WIRE_PING, 1);
            msgpack_pack_uint32 (&out, 1);
            size_t before = bytes.size;
            if (!packers[kind](&out, which))
                break;
            bool natural = is_natural (&bytes, before, &number);
            assert_int_equal (decode_wire (&bytes, 0, &wire, &error), natural ? 0 : -1);
            assert_true (!natural || wire.ping.request == number);
        }
    msgpack_sbuffer_destroy (&bytes);
}

static void wrong_messages (void **state)
{
    (void)state;
    static const struct {
        uint32_t fields, key, value, senders;
        const char *why;
    } cases[] = {
        { 0, 0, 0, 0, "PING.request is missing" },
        { 1, 1, 5, 1u << MU_ROLE_WORKER, "does not come from this side" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct mu_error error;
        struct mu_wire wire;
        msgpack_sbuffer bytes;
        msgpack_packer out;
        msgpack_sbuffer_init (&bytes);
        msgpack_packer_init (&out, &bytes, msgpack_sbuffer_write);
        pack_head (&out, MU_WIRE_MAJOR, MU_WIRE_MINOR, MU_WIRE_PING, cases[i].fields);
        if (cases[i].fields) {
            msgpack_pack_uint32 (&out, cases[i].key);
            msgpack_pack_uint32 (&out, cases[i].value);
        }
        assert_int_equal (decode_wire (&bytes, cases[i].senders, &wire, &error), -1);
        assert_non_null (strstr (error.text, cases[i].why));
        msgpack_sbuffer_destroy (&bytes);
    }
}

static void limits_hold_on_the_way_out (void **state)
{
    (void)state;
    struct mu_error error;
    struct mu_wire wire = { .type = MU_WIRE_WELCOME, .welcome = { .beat_ms = 9, .lost_ms = 100 } };
    msgpack_sbuffer bytes;
    msgpack_sbuffer_init (&bytes);
    assert_int_equal (mu_record_encode (&mu_wire_family, &wire, &bytes, &error), -1);
    assert_int_equal (bytes.size, 0);
    assert_non_null (strstr (error.text, "WELCOME.beat_ms"));
    wire.welcome.beat_ms = 10;
    assert_int_equal (mu_record_encode (&mu_wire_family, &wire, &bytes, &error), 0);
    wire = (struct mu_wire){ .type = MU_WIRE_BYE, .bye.reason = "\xff\xfe" };
    assert_int_equal (mu_record_encode (&mu_wire_family, &wire, &bytes, &error), -1);
    msgpack_sbuffer_destroy (&bytes);
}

/* --- texts ------------------------------------------------------------------------------------ */

static void texts (void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t size;
        bool valid;
    } cases[] = {
        { "plain", 5, true },
        { "\xc3\xa4", 2, true },
        { "\xc0\x80", 2, false },
        { "a\0b", 3, false },
        { "\xed\xa0\x80", 3, false },
        { "\xf0\x9f\x98\x80", 4, true },
        { "\xf4\x90\x80\x80", 4, false },
        { "\xe2\x82", 2, false },
        { "\xe0\x80\xaf", 3, false },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal (mu_text_valid (cases[i].text, cases[i].size), cases[i].valid);
    char cut[] = "\xf0\x9f\x98 \xc3\xa4 \xe4 \xe2\x82";
    mu_text_mend (cut);
    assert_string_equal (cut, "??? \xc3\xa4 ? ??");
    char field[4];
    mu_text_set (field, sizeof field, "ab\xc3\xa4");
    assert_string_equal (field, "ab"); /* not half a character */
    mu_text_set (field, sizeof field, "abc");
    assert_string_equal (field, "abc");
}

/* --- golden bytes ----------------------------------------------------------------------------- */

static char *golden_path (const struct mu_family *family)
{
    const char *srcdir = getenv ("top_srcdir");
    char *path;
    assert_true (
        asprintf (&path, "%s/schemas/golden/%s-1.hex", srcdir ? srcdir : ".", family->name) > 0);
    return path;
}

static size_t read_hex (const char *text, uint8_t *bytes)
{
    size_t size = 0;
    for (unsigned value; sscanf (text, "%2x", &value) == 1; text += 2)
        bytes[size++] = (uint8_t)value;
    return size;
}

static void write_golden (const struct mu_family *family)
{
    char *path = golden_path (family);
    FILE *file = fopen (path, "w");
    assert_non_null (file);
    for (uint32_t id = 0; id < family->shape_count; id++) {
        if (!family->shapes[id])
            continue;
        uint8_t *record = sample (family, id);
        msgpack_sbuffer bytes;
        msgpack_sbuffer_init (&bytes);
        assert_int_equal (mu_record_encode (family, record, &bytes, NULL), 0);
        fprintf (file, "%s ", family->shapes[id]->name);
        for (size_t i = 0; i < bytes.size; i++)
            fprintf (file, "%02x", (uint8_t)bytes.data[i]);
        fputc ('\n', file);
        msgpack_sbuffer_destroy (&bytes);
        unsample (family, record);
    }
    fclose (file);
    free (path);
}

/* What was released is still read, and still means what it meant. */
static void golden (void **state)
{
    (void)state;
    char *line = test_malloc (LINE_MAX_BYTES), name[64];
    uint8_t *bytes = test_malloc (LINE_MAX_BYTES);
    for (size_t f = 0; f < sizeof families / sizeof *families; f++) {
        if (getenv ("MUSTER_WRITE_GOLDEN"))
            write_golden (families[f]);
        char *path = golden_path (families[f]);
        FILE *file = fopen (path, "r");
        assert_non_null (file);
        uint32_t count = 0;
        while (fgets (line, LINE_MAX_BYTES, file)) {
            int used = 0;
            assert_int_equal (sscanf (line, "%63s %n", name, &used), 1);
            size_t size = read_hex (line + used, bytes);
            uint32_t id = 0;
            while (id < families[f]->shape_count &&
                   (!families[f]->shapes[id] || strcmp (families[f]->shapes[id]->name, name)))
                id++;
            assert_true (id < families[f]->shape_count);
            uint8_t *record = sample (families[f], id);
            check_same (families[f], id, record, bytes, size);
            unsample (families[f], record);
            count++;
        }
        assert_true (count >= 4);
        fclose (file);
        free (path);
    }
    test_free (bytes);
    test_free (line);
}

/* What a record says is hashed, whatever it is filled with; each field counts, but for the seal and
 * for optional fields that are empty. */
static void hashes (void **state)
{
    (void)state;
    struct mu_journal_member members[2] = { { .name = "a" }, { .name = "b", .step = 5 } };
    struct mu_journal form = { .type = MU_JOURNAL_FORM,
                               .form = { .job = 1, .first_map = { "x", 1 } } };
    form.form.members.items = members;
    form.form.members.count = 2;
    uint64_t hash = mu_record_hash (&mu_journal_family, &form, 7);
    strcpy (form.form.world, "long");
    strcpy (form.form.world, ""); /* bytes behind a text's end */
    form.form.seal = 9;
    form.term = 3;
    assert_int_equal (mu_record_hash (&mu_journal_family, &form, 7), hash);
    assert_int_not_equal (mu_record_hash (&mu_journal_family, &form, 8), hash);
    members[1].step = 0; /* optional: as if it had never been thought of */
    uint64_t without = mu_record_hash (&mu_journal_family, &form, 7);
    assert_int_not_equal (without, hash);
    members[0].step = 5; /* the same values in another item */
    assert_int_not_equal (mu_record_hash (&mu_journal_family, &form, 7), hash);
    members[0].step = 0;
    assert_int_equal (mu_record_hash (&mu_journal_family, &form, 7), without);
    form.form.first_map = (struct mu_blob){ "y", 1 };
    assert_int_not_equal (mu_record_hash (&mu_journal_family, &form, 7), without);
    form.form.map = form.form.first_map; /* the same bytes in another field */
    form.form.first_map.size = 0;
    assert_int_not_equal (mu_record_hash (&mu_journal_family, &form, 7), without);
    const struct mu_shape *shape = mu_shape_find (&mu_journal_family, MU_JOURNAL_LEASE);
    assert_true (mu_shape_is_latest (shape));
    assert_null (mu_shape_seal (shape));
    assert_string_equal (mu_shape_field (shape, "job")->name, "job");
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (every_shape_survives),
        cmocka_unit_test (torn_and_bent_messages),
        cmocka_unit_test (versions),
        cmocka_unit_test (any_value_is_passed_over),
        cmocka_unit_test (numbers_of_any_width),
        cmocka_unit_test (wrong_messages),
        cmocka_unit_test (limits_hold_on_the_way_out),
        cmocka_unit_test (texts),
        cmocka_unit_test (golden),
        cmocka_unit_test (hashes),
    };
    return cmocka_run_group_tests_name ("record", tests, NULL, NULL);
}
