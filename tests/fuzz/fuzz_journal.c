/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_journal.c - a journal that decodes, and says anything: a core that replays it must bear it
 *
 * Rows may be damaged, mended by hand, or lacking: each is a well-formed record, and none of its values can
 * be trusted. Input bytes choose records and their values, near to what would make sense in that place, so
 * that many are taken and each can be wrong in any way. What is taken is folded into a core; a second one that
 * is told of the same must come to the same. Then that core reigns: time passes, the members that it
 * knows say HELLO, people ask, and what it decides must be such that it can apply it itself (it asserts
 * that). The ledger's checker reads the same records and may find fault, and nothing else.
 *
 * tests/unit/test_damage runs this with bytes by chance. */
#include "coordinator/core.h"

#include "client/ledger.h"

#include <msgpack.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

#define RECORDS_MAX 96u
#define NAMES       5u
#define MAP_MAX     4094u
#define LIST_MAX    4u

static const uint8_t *at, *end;

static uint64_t pick (uint64_t below)
{
    uint64_t value = at < end ? *at++ : 0;
    if (below > 256 && at < end)
        value = value << 8 | *at++;
    return value % below;
}

static void must (bool truth)
{
    if (!truth)
        abort ();
}

/* --- a record --------------------------------------------------------------------------------- */

struct making {
    const struct coord *coord;
    const struct job_durable *job; /* that it is about; NULL: there is none yet */
    uint32_t ranks;                /* of FORM's members, or of the newest generation */
    msgpack_zone *zone;
};

static uint64_t some_number (uint64_t was)
{
    switch (pick (8)) {
    case 0: return 0;
    case 1: return UINT64_MAX;
    case 2: return was + 1;
    case 3: return was - 1;
    case 4: return UINT64_C (1) << pick (64);
    case 5: return UINT32_MAX;
    default: return pick (300);
    }
}

/* What would do, mostly. */
static uint64_t likely (const struct making *making, const char *field, bool forms)
{
    const struct job_durable *job = making->job;
    if (!strcmp (field, "generation"))
        return job ? job->generation.number + forms : 0;
    if (!strcmp (field, "until_step") || !strcmp (field, "steps"))
        return job && job->sized ? job->steps : 100;
    if (strstr (field, "step"))
        return job && pick (2) ? job->generation.step + pick (4) : pick (100);
    if (!strcmp (field, "place"))
        return pick (2);
    if (!strcmp (field, "ranks"))
        return making->ranks;
    if (!strcmp (field, "micro_batch"))
        return 0;
    if (!strcmp (field, "state") || !strcmp (field, "target"))
        return pick (MU_JOB_STATES);
    if (!strcmp (field, "epochs") || !strcmp (field, "crash_workers"))
        return 0;
    return 1 + pick (2);
}

static uint64_t within (const struct mu_field *field, uint64_t number)
{
    if (number < field->low)
        return field->low;
    return number > field->high ? field->high : number;
}

static void fill_text (const struct mu_field *field, char *text)
{
    static const char *const names[] = { "w1", "w2", "w3", "w4", "" };
    mu_text_set (text, field->high + 1, names[pick (NAMES)]);
}

static uint8_t *room (const struct making *making, size_t size)
{
    uint8_t *bytes = msgpack_zone_malloc (making->zone, size ? size : 1);
    must (bytes != NULL);
    memset (bytes, 0, size ? size : 1);
    return bytes;
}

/* A map of the job's size, mostly, whose ranks are there, mostly. */
static void fill_blob (const struct making *making, const struct mu_field *field,
                       struct mu_blob *blob)
{
    uint32_t micro_batches = making->job ? making->job->micro_batches : 4;
    uint32_t size = strstr (field->name, "map")         ? 2 * micro_batches
                    : !strcmp (field->name, "suspects") ? (uint32_t)field->high
                    : field->kind == MU_FIELD_LONGTEXT  ? 3
                                                        : (micro_batches + 7) / 8;
    if (pick (16) == 0)
        size = (uint32_t)pick (MAP_MAX);
    size = size < field->high ? size : (uint32_t)field->high;
    uint8_t *bytes = room (making, size);
    for (uint32_t i = 0; i < size; i++) {
        if (field->kind == MU_FIELD_LONGTEXT)
            bytes[i] = 'x';
        else if (!strstr (field->name, "map"))
            bytes[i] = (uint8_t)pick (256);
        else if (i % 2 == 0)
            bytes[i] = (uint8_t)pick (making->ranks + (pick (32) == 0) + !making->ranks);
    }
    *blob = (struct mu_blob){ bytes, size };
}

static void fill (struct making *making, const struct mu_shape *shape, uint8_t *body);

static void fill_list (struct making *making, const struct mu_field *field, uint8_t *body)
{
    uint32_t count = (uint32_t)pick (LIST_MAX + 1);
    count = count < field->high ? count : (uint32_t)field->high;
    uint8_t *items = room (making, count * field->item->size);
    for (uint32_t i = 0; i < count; i++)
        fill (making, field->item, items + i * field->item->size);
    memcpy (body + field->offset, &items, sizeof items);
    memcpy (body + field->count_offset, &count, sizeof count);
    if (!strcmp (field->name, "members"))
        making->ranks = count;
}

static void fill_number (const struct making *making, const struct mu_field *field, bool forms,
                         uint8_t *to)
{
    uint64_t number = likely (making, field->name, forms);
    number = within (field, pick (12) ? number : some_number (number));
    uint32_t word = (uint32_t)number;
    if (field->kind == MU_FIELD_U32)
        memcpy (to, &word, sizeof word);
    else
        memcpy (to, &number, sizeof number);
}

static void fill (struct making *making, const struct mu_shape *shape, uint8_t *body)
{
    bool forms = shape->id == MU_JOURNAL_FORM;
    for (uint32_t i = 0; i < shape->field_count; i++) {
        const struct mu_field *field = &shape->fields[i];
        uint8_t *to = body + field->offset;
        switch (field->kind) {
        case MU_FIELD_U32:
        case MU_FIELD_U64:
        case MU_FIELD_I64: fill_number (making, field, forms, to); break;
        case MU_FIELD_F64: memset (to, pick (4) ? 0 : (int)pick (256), sizeof (double)); break;
        case MU_FIELD_BOOL: *to = pick (2) != 0; break;
        case MU_FIELD_TEXT: fill_text (field, (char *)to); break;
        case MU_FIELD_LONGTEXT:
        case MU_FIELD_BYTES: fill_blob (making, field, (struct mu_blob *)(void *)to); break;
        case MU_FIELD_LIST: fill_list (making, field, body); break;
        }
    }
}

/* Those that lead from a job's beginning to its end, mostly. */
static uint32_t some_type (const struct making *making)
{
    static const uint32_t next[MU_JOB_STATES][4] = {
        [MU_JOB_PENDING] = { MU_JOURNAL_SIZED, MU_JOURNAL_STATE, MU_JOURNAL_STATE,
                             MU_JOURNAL_FOLDED },
        [MU_JOB_PREPARING] = { MU_JOURNAL_SIZED, MU_JOURNAL_FORM, MU_JOURNAL_FORM,
                               MU_JOURNAL_SIZED },
        [MU_JOB_FORMING] = { MU_JOURNAL_START, MU_JOURNAL_BROKEN, MU_JOURNAL_LEASE,
                             MU_JOURNAL_START },
        [MU_JOB_RUNNING] = { MU_JOURNAL_COMMIT, MU_JOURNAL_AGREED, MU_JOURNAL_TRAINED,
                             MU_JOURNAL_BROKEN },
        [MU_JOB_BREAKING] = { MU_JOURNAL_FORM, MU_JOURNAL_REWIND, MU_JOURNAL_EXPEL,
                              MU_JOURNAL_UNSOUND },
    };
    if (!making->job)
        return MU_JOURNAL_SUBMIT;
    uint32_t type = next[making->job->state][pick (4)];
    return type && pick (3) ? type : (uint32_t)pick (mu_journal_family.shape_count);
}

static bool make (struct making *making, struct mu_journal *record)
{
    uint32_t count = making->coord->durable.job_count;
    uint64_t job = count ? 1 + pick (count) : 0;
    memset (record, 0, sizeof *record);
    const struct job *about = core_job (making->coord, job); /* NULL: forgotten, or there is none */
    making->job = about ? &about->durable : NULL;
    making->ranks = making->job ? making->job->generation.size : 0;
    uint32_t type = some_type (making);
    const struct mu_shape *shape = mu_shape_find (&mu_journal_family, type);
    if (!shape)
        return false;
    uint8_t *body = (uint8_t *)record + mu_journal_family.body_offset;
    fill (making, shape, body);
    record->type = (enum mu_journal_type)type;
    const struct mu_field *field = mu_shape_field (shape, "job");
    job = type == MU_JOURNAL_SUBMIT ? (uint64_t)count + 1 : job;
    if (field && pick (24))
        memcpy (body + field->offset, &job, sizeof job);
    return true;
}

/* --- a journal, and a core that reigns after it ------------------------------------------------ */

static void replay (struct coord *coord, struct coord *other, struct ledger *ledger,
                    msgpack_zone *zone)
{
    struct making making = { .coord = coord, .zone = zone };
    struct mu_journal record, read;
    struct mu_error error;
    msgpack_sbuffer bytes;
    msgpack_sbuffer_init (&bytes);
    for (uint32_t i = 0; i < RECORDS_MAX && at < end; i++) {
        msgpack_sbuffer_clear (&bytes);
        if (!make (&making, &record) ||
            mu_record_encode (&mu_journal_family, &record, &bytes, &error))
            continue;
        must (
            !mu_record_decode (&mu_journal_family, &read, bytes.data, bytes.size, 0, zone, &error));
        ledger_read (ledger, i + 1, &read);
        uint64_t before = coord_digest (coord);
        if (coord_apply (coord, &read, &error))
            must (coord_digest (coord) == before && *error.text);
        else
            must (!coord_apply (other, &read, &error));
        must (mu_record_decode (&mu_journal_family, &read, bytes.data, bytes.size, 0, zone,
                                &error) == 0);
    }
    msgpack_sbuffer_destroy (&bytes);
    must (coord_digest (coord) == coord_digest (other));
}

struct life {
    struct coord *coord;
    struct coord_actions actions;
    uint64_t now_ms;
};

static void happen (struct life *life, struct coord_event event)
{
    event.now_ms = life->now_ms;
    event.unix_ms = UINT64_C (1700000000000) + life->now_ms;
    life->actions.count = 0;
    coord_step (life->coord, &event, &life->actions);
}

static void say (struct life *life, uint32_t peer, const struct mu_wire *wire)
{
    happen (life, (struct coord_event){ .type = COORD_RECEIVE, .peer = peer, .wire = wire });
}

/* Those whom the records name come back, with what they hold. */
static void hello (struct life *life, uint32_t worker)
{
    struct mu_wire wire = { .type = MU_WIRE_HELLO, .term = coord_term (life->coord) };
    snprintf (wire.hello.name, sizeof wire.hello.name, "w%u", worker + 1);
    wire.hello.incarnation = 1 + pick (2);
    wire.hello.threads = 1;
    wire.hello.job = pick (3);
    wire.hello.generation = pick (3);
    say (life, worker, &wire);
}

static void answer (struct life *life, uint32_t worker)
{
    const struct coord_action *order = NULL;
    for (uint32_t i = 0; i < life->actions.count; i++)
        if (life->actions.list[i].type == COORD_SEND && life->actions.list[i].send.peer == worker)
            order = &life->actions.list[i];
    struct mu_wire wire = { .term = coord_term (life->coord) };
    if (!order)
        return;
    const struct mu_wire *said = &order->send.wire;
    if (said->type == MU_WIRE_RELEASE) {
        wire.type = MU_WIRE_RELEASED;
        wire.released.job = said->release.job;
        wire.released.order = said->release.order;
    } else if (said->type == MU_WIRE_ABORT) {
        wire.type = MU_WIRE_ABORTED;
        wire.aborted.job = said->abort.job;
        wire.aborted.generation = said->abort.generation;
        wire.aborted.step = pick (200);
    } else if (said->type == MU_WIRE_ASSIGN) {
        wire.type = MU_WIRE_PREPARED;
        wire.prepared.job = said->assign.job;
        wire.prepared.order = said->assign.order;
        wire.prepared.records = 1 + pick (2);
        wire.prepared.step = said->assign.resume_step;
        wire.prepared.distrusted = said->assign.distrusted;
    } else {
        return;
    }
    say (life, worker, &wire);
}

static void ask (struct life *life)
{
    struct mu_wire jobs = { .type = MU_WIRE_JOBS }, workers = { .type = MU_WIRE_WORKERS };
    say (life, 100, &jobs);
    say (life, 100, &workers);
    for (uint64_t i = 0; (i = coord_job_next (life->coord, i));) {
        struct mu_wire shards = { .type = MU_WIRE_SHARDS }, list = { .type = MU_WIRE_CHECKPOINTS };
        snprintf (shards.shards.job, sizeof shards.shards.job, "%llu", (unsigned long long)i);
        snprintf (list.checkpoints.job, sizeof list.checkpoints.job, "%llu", (unsigned long long)i);
        say (life, 100, &shards);
        say (life, 100, &list);
    }
}

static void reign (struct coord *coord)
{
    struct life life = { .coord = coord, .now_ms = 1000 };
    happen (&life, (struct coord_event){ .type = COORD_START });
    ask (&life);
    for (uint32_t i = 0; i < 24; i++) {
        uint32_t worker = (uint32_t)pick (4);
        hello (&life, worker);
        answer (&life, worker);
        life.now_ms += 200 + pick (1000);
        happen (&life, (struct coord_event){ .type = COORD_TIMER });
        answer (&life, worker);
    }
    life.now_ms += 60000;
    happen (&life, (struct coord_event){ .type = COORD_TIMER });
    ask (&life);
    free (life.actions.list);
}

static void fold_all (struct coord *coord)
{
    struct mu_journal record;
    msgpack_sbuffer bytes;
    msgpack_sbuffer_init (&bytes);
    for (uint64_t job = 0; (job = coord_job_next (coord, job));)
        if (coord_fold (coord, job, UINT64_MAX, &record))
            must (!mu_record_encode (&mu_journal_family, &record, &bytes, NULL));
    msgpack_sbuffer_destroy (&bytes);
}

/* As a recording would: it goes on from all that it holds. */
static void save_and_load (const struct coord *coord, const struct coord_options *options)
{
    struct coord_image image = { 0 };
    struct mu_error error;
    struct coord *copy = coord_create (options);
    coord_save (coord, &image);
    must (!coord_load (copy, image.bytes, image.size, &error) &&
          coord_digest (copy) == coord_digest (coord));
    coord_destroy (&copy);
    free (image.bytes);
}

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
    struct coord_options options = { .version = "fuzz", .quarantine_failures = 3 };
    struct coord *coord = coord_create (&options), *other = coord_create (&options);
    struct ledger *ledger = ledger_create ();
    msgpack_zone zone;
    must (msgpack_zone_init (&zone, 8192));
    at = data;
    end = data + size;
    replay (coord, other, ledger, &zone);
    ledger_end (ledger);
    save_and_load (coord, &options);
    fold_all (coord);
    reign (coord);
    save_and_load (coord, &options);
    ledger_destroy (&ledger);
    coord_destroy (&coord);
    coord_destroy (&other);
    msgpack_zone_destroy (&zone);
    return 0;
}
