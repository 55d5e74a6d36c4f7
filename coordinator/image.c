/* SPDX-License-Identifier: Apache-2.0 */
/* image.c - the whole core as bytes, and back, so that a recording can begin in the middle of a reign
 *
 * One walk serves both ways: what is written in an order is read in it. Fields lie in tables; an image
 * carries each table's names and sizes once, in front, so that a core with more fields reads it (they
 * are zero), and one with fewer passes over what it does not know. Whoever adds a field to the core's
 * structs adds it here: coord_image_uncovered () finds bytes that no table knows, and the simulator
 * goes on from images and compares.
 *
 * An image is trusted as memory is: its frame's check finds damage, nothing here finds malice. */
#include "core.h"
#include "job.h"
#include "roster.h"

#define TABLES     17u
#define FIELDS_MAX 96u
#define UNKNOWN    UINT32_MAX

struct field {
    const char *name;
    size_t offset, size;
    bool held; /* by pointer: passed by hand, or made anew */
};

struct table {
    const char *name;
    const struct field *fields;
    uint32_t count;
    size_t size;
};

#define F(member)                                                                                  \
    {                                                                                              \
#member, offsetof(struct S, member), sizeof((struct S *)NULL)->member, false               \
    }
#define P(member)                                                                                  \
    {                                                                                              \
#member, offsetof(struct S, member), sizeof((struct S *)NULL)->member, true                \
    }

/* clang-format off: a line each is no table any more */
/* --- the tables, in the structs' order --------------------------------------------------------- */

#define S coord
static const struct field coord_fields[] = {
    P (options), F (durable.term), F (durable.lacks_below), P (durable.jobs), P (durable.job_count),
    P (durable.job_capacity), P (durable.job_base), P (durable.forgotten_count), P (durable.live), P (durable.live_count), P (durable.live_capacity),
    P (durable.keys), P (durable.drained), P (durable.quarantined), P (workers), P (worker_count),
    P (worker_capacity), P (names), P (peers), F (started), F (deposed), F (registered), F (later_term), F (orders),
    F (grace_end_ms), F (came_ms), F (deadline_ms), F (trust_again_ms), F (place_at_ms), F (placed_ms), F (forget_at), P (touched),
    P (touched_count), P (touched_capacity), F (now_ms), F (unix_ms), P (out), P (scratch),
    P (nowhere),
};
#undef S
#define S worker
static const struct field worker_fields[] = {
    F (name),
    F (host),
    F (version),
    F (compute_class),
    F (isa),
    F (incarnation),
    F (before),
    F (rival),
    F (rival_ms),
    F (buried),
    F (threads),
    F (devices),
    F (holds),
    F (generation),
    F (step),
    F (phase_ms),
    F (phase),
    F (duty_phase),
    F (duty),
    F (still_ms),
    F (stalled_ms),
    F (process),
    F (writing),
    F (writer_still_ms),
    F (writer_phase),
    F (writer),
    F (hung),
    F (leaving),
    F (faults),
    F (number),
    F (peer),
    F (connected),
    F (lost),
    F (gone),
    F (left),
    F (beat_ms),
    F (heard_ms),
    F (lost_at_ms),
    F (stray_ms),
    P (job),
    F (slot),
    F (rank),
    F (order),
    F (order_number),
    F (order_since_ms),
    F (order_said_ms),
    F (letting_go),
    F (again),
    F (unseen),
    F (times_kept),
    F (halts),
    F (leased),
    F (yields),
    F (yields_to),
    F (opened),
    F (finished),
    F (reducing),
    F (idle),
    F (doubts),
    F (reopened_step),
    F (anew),
    F (refused_job),
    F (refused_until_ms),
    F (ends),
    F (crashed_in),
    F (left_out),
    F (on_trial),
    F (refused_for_good),
    F (refused),
    F (position.step),
    F (position.attempt),
    F (position.made_of),
    F (position.lineage),
    F (position.generation),
    F (position.distrusted),
    F (position.blank),
    F (position.entered),
    F (position.unsound),
    F (position.odd),
    F (position.unread),
    F (kept),
    F (pace.cost_us),
    F (pace.generation),
    F (pace.step),
    F (pace.busy_us),
    F (pace.share),
    F (penalty),
    F (penalty_ms),
    F (doubt_after_ms),
};
#undef S
#define S job_durable
static const struct field job_fields[] = {
    F (number), F (key), F (name), P (spec), F (priority), F (workers_min), F (workers_max),
    F (micro_batches), F (global_batch), F (window_steps), F (steps), F (epochs), F (portable),
    F (mixed), F (audited), F (lost), F (keep), F (submitted_ms), F (started_ms), F (ended_ms), F (sized), F (records),
    F (parameters), F (targets), P (data_identity), P (compute_class), F (state), F (target),
    F (code), P (reason), F (generation.number), F (generation.step), F (generation.until_step),
    F (generation.time_ms), F (generation.began), F (generation.attempt), F (generation.source_rank),
    F (generation.size), F (generation.made_of), F (generation.transfer), F (generation.started), F (generation.over),
    F (generation.connected), P (generation.members), P (generation.first_map), P (generation.map),
    F (generation.world), P (commits), P (commit_count), P (commit_capacity), F (crashes),
    F (restarts), F (crash_step), F (crash_generation), F (crash_workers), F (seal), F (hangs),
    F (hang_rounds), F (hang_blows), F (hang_step), F (hang_generation), F (hung_ms), P (hung),
    F (accusations), F (poison_limit), F (suspicion.step), P (suspicion.strikes),
    P (suspicion.count), P (suspicion.capacity), P (skips), P (skip_count), P (skip_capacity),
    F (anchor), F (first_step), F (distrusted), P (outcasts), P (outcast_count), P (outcast_capacity),
    P (absentees), P (absentee_count), P (absentee_capacity),
    P (savers), P (saver_count), P (saver_capacity), F (unsound_step), F (unsound_generation),
    P (sums), P (sum_count), P (disputed), F (disputed_step),
};
#undef S
#define S job_soft
static const struct field soft_fields[] = {
    P (workers), P (worker_count), P (worker_capacity), P (ranks), F (orders), P (fences),
    P (ahead), F (touched),
    F (could_since_ms), F (hopeless_since_ms), F (lacking_since_ms), F (join_since_ms), F (form_after_ms),
    F (form_limit_ms), F (failures), F (without), F (losses), F (vain_ms), F (save_done), F (end_unsaved), F (stopped_here),
    F (save_tries), F (save_limit_ms), F (step), F (results),
    F (finished), F (finished_ms), F (withheld), F (reducing), F (idle), F (stuck_ms), F (stepped),
    F (still_longest_ms), F (stall_longest_ms), F (stuck_longest_ms), F (running_since_ms),
    F (paced_window), F (median_us), F (uneven), P (samples), F (sample_count), F (rate_best), P (comparisons),
    P (comparison_count), F (comparison_next), F (review.since_ms), F (review.since_step),
    F (review.step), F (review.said_ms), F (halt.since_ms), F (halt.said_ms), F (halt.step), F (missing.waited_ms), F (missing.seen_ms), F (missing.again_ms),
    F (missing.forgo), F (overdue.writing), P (overdue.worker), P (overdue.text), P (doubt), P (misfits[0].name), F (misfits[0].found_ms), P (misfits[1].name), F (misfits[1].found_ms), F (open_rounds), F (open_hung_ms), F (writer_still_longest_ms), F (unevaluated_ms), F (ended_ms), P (sized_by), P (why), P (unevaluated), P (shrunk), P (stands),
};
#undef S
#define S ahead
static const struct field ahead_fields[] = {
    F (world), P (members), F (size), F (connected), P (fences), F (tries), F (since_ms), F (again_ms), F (said_ms),
};
#undef S
#define S doubt
static const struct field doubt_fields[] = {
    F (at), F (tries), F (agreed), F (lone_at), F (lone), F (refused_at), F (refused_echo), F (refused_by),
};
#undef S
#define S sample
static const struct field sample_fields[] = {
    F (time_ms), F (step),
};
#undef S
#define S member
static const struct field member_fields[] = {
    F (name), F (incarnation), F (windows), F (state_step), F (gradient_step), F (echo),
};
#undef S
#define S commit
static const struct field commit_fields[] = {
    F (generation), F (step), F (bytes), F (time_ms), F (results), F (state_sum), P (path), F (weights_hash), F (worker), F (pruned),
};
#undef S
#define S strike
static const struct field strike_fields[] = {
    F (worker), F (incarnation), F (trainer), F (suspects),
};
#undef S
#define S agreed_sum
static const struct field sum_fields[] = {
    F (step), F (sum),
};
#undef S
#define S skip
static const struct field skip_fields[] = {
    F (step), F (micro_batch),
};
#undef S
#define S outcast
static const struct field outcast_fields[] = {
    F (name), F (incarnation),
};
#undef S
#define S absentee
static const struct field absentee_fields[] = {
    F (name), F (state_step), F (gradient_step), F (left_ms),
};
#undef S
#define S saver
static const struct field saver_fields[] = {
    F (name), F (incarnation), F (generation), F (step), F (until_step), F (told), F (between),
};
#undef S
#define S comparison
static const struct field comparison_fields[] = {
    F (what), F (micro_batch), F (attempt), F (step), F (first_rank), F (ranks), F (said), P (opinions),
};
#undef S
#define S opinion
static const struct field opinion_fields[] = {
    F (digest), F (said),
};
#undef S

/* clang-format on */

#define TABLE(what, fields)                                                                        \
    {                                                                                              \
#what, fields, sizeof(fields) / sizeof *(fields), sizeof(struct what)                      \
    }

enum { COORD, WORKER, JOB, SOFT, MEMBER, COMMIT, STRIKE, SKIP, OUTCAST, COMPARISON, OPINION, ABSENTEE, SAVER, SAMPLE, AHEAD, DOUBT, SUM };

static const struct table tables[TABLES] = {
    [COORD] = TABLE (coord, coord_fields),
    [WORKER] = TABLE (worker, worker_fields),
    [JOB] = TABLE (job_durable, job_fields),
    [SOFT] = TABLE (job_soft, soft_fields),
    [MEMBER] = TABLE (member, member_fields),
    [COMMIT] = TABLE (commit, commit_fields),
    [STRIKE] = TABLE (strike, strike_fields),
    [SKIP] = TABLE (skip, skip_fields),
    [OUTCAST] = TABLE (outcast, outcast_fields),
    [COMPARISON] = TABLE (comparison, comparison_fields),
    [OPINION] = TABLE (opinion, opinion_fields),
    [ABSENTEE] = TABLE (absentee, absentee_fields),
    [SAVER] = TABLE (saver, saver_fields),
    [SAMPLE] = TABLE (sample, sample_fields),
    [AHEAD] = TABLE (ahead, ahead_fields),
    [DOUBT] = TABLE (doubt, doubt_fields),
    [SUM] = TABLE (agreed_sum, sum_fields),
};

/* --- bytes either way ------------------------------------------------------------------------- */

struct pass {
    struct coord_image *out; /* NULL: loading */
    const uint8_t *data;     /* loading */
    size_t left;
    bool bad;
    uint32_t stored[TABLES];            /* how many fields of each table the image has */
    uint32_t mine[TABLES][FIELDS_MAX];  /* which of ours that is, or UNKNOWN */
    uint32_t bytes[TABLES][FIELDS_MAX]; /* and its size */
};

static void write_bytes (struct coord_image *out, const void *data, size_t size)
{
    if (out->capacity - out->size < size) {
        while (out->capacity - out->size < size)
            out->capacity = out->capacity ? 2 * out->capacity : 65536;
        out->bytes = realloc (out->bytes, out->capacity);
        assert (out->bytes);
    }
    memcpy (out->bytes + out->size, data, size);
    out->size += size;
}

static void pass_bytes (struct pass *pass, void *data, size_t size)
{
    if (!size)
        return;
    if (pass->out) {
        write_bytes (pass->out, data, size);
        return;
    }
    pass->bad = pass->bad || size > pass->left;
    if (pass->bad) {
        memset (data, 0, size);
        return;
    }
    memcpy (data, pass->data, size);
    pass->data += size;
    pass->left -= size;
}

static void pass_over (struct pass *pass, size_t size)
{
    pass->bad = pass->bad || size > pass->left;
    if (pass->bad)
        return;
    pass->data += size;
    pass->left -= size;
}

static uint32_t pass_number (struct pass *pass, uint32_t number)
{
    pass_bytes (pass, &number, sizeof number);
    return number;
}

/* How many of something follow; an image that is cut cannot make us allocate more than it holds. */
static uint32_t pass_count (struct pass *pass, uint32_t count)
{
    count = pass_number (pass, count);
    if (!pass->out && count > pass->left)
        pass->bad = true;
    return pass->bad ? 0 : count;
}

static void *need (size_t count, size_t size)
{
    void *memory = calloc (count ? count : 1, size);
    assert (memory);
    return memory;
}

static void *pass_block (struct pass *pass, const void *data, size_t size)
{
    void *mine = (void *)(uintptr_t)data;
    if (!pass->out) {
        pass->bad = pass->bad || size > pass->left;
        mine = need (pass->bad ? 1 : size + 1, 1); /* a text has its NUL */
    }
    if (!pass->bad)
        pass_bytes (pass, mine, size);
    return mine;
}

static struct mu_blob pass_blob (struct pass *pass, struct mu_blob blob)
{
    uint32_t size = pass_count (pass, blob.size);
    const void *data = size || !pass->out ? pass_block (pass, blob.data, size) : blob.data;
    return (struct mu_blob){ data, size };
}

static char *pass_text (struct pass *pass, char *text)
{
    uint32_t size = pass_count (pass, pass->out ? (uint32_t)strlen (text) : 0);
    return pass_block (pass, text, size);
}

/* One that is NULL when it is empty. */
static char *pass_note (struct pass *pass, char *note)
{
    uint32_t size = pass_count (pass, note ? (uint32_t)strlen (note) : 0);
    return size ? pass_block (pass, note, size) : note;
}

/* --- tables either way ------------------------------------------------------------------------ */

static uint32_t find_field (const struct table *table, uint64_t hash)
{
    for (uint32_t i = 0; i < table->count; i++)
        if (!table->fields[i].held && index_hash_text (table->fields[i].name) == hash)
            return i;
    return UNKNOWN;
}

static void save_table (struct pass *pass, const struct table *table)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < table->count; i++)
        count += !table->fields[i].held;
    pass_number (pass, count);
    for (uint32_t i = 0; i < table->count; i++) {
        uint64_t hash = index_hash_text (table->fields[i].name);
        if (table->fields[i].held)
            continue;
        pass_bytes (pass, &hash, sizeof hash);
        pass_number (pass, (uint32_t)table->fields[i].size);
    }
}

static void load_table (struct pass *pass, uint32_t which)
{
    uint32_t count = pass_count (pass, 0);
    pass->bad = pass->bad || count > FIELDS_MAX;
    pass->stored[which] = pass->bad ? 0 : count;
    for (uint32_t i = 0; i < pass->stored[which]; i++) {
        uint64_t hash = 0;
        pass_bytes (pass, &hash, sizeof hash);
        uint32_t size = pass_number (pass, 0), at = find_field (&tables[which], hash);
        pass->mine[which][i] = at;
        pass->bytes[which][i] = size;
        if (at != UNKNOWN && tables[which].fields[at].size != size)
            pass->bad = true; /* the same name for something else */
    }
}

static void pass_tables (struct pass *pass)
{
    for (uint32_t which = 0; which < TABLES; which++) {
        if (pass->out)
            save_table (pass, &tables[which]);
        else
            load_table (pass, which);
    }
}

static bool is_zero (const uint8_t *data, size_t size)
{
    return !data[0] && !memcmp (data, data + 1, size - 1);
}

/* Most fields of most jobs are zero: a bit for each field of the image says whether its bytes follow. */
static void save_struct (struct pass *pass, const struct table *table, const uint8_t *object)
{
    uint8_t mask[FIELDS_MAX / 8] = { 0 };
    uint32_t bit = 0;
    for (uint32_t i = 0; i < table->count; i++) {
        const struct field *field = &table->fields[i];
        if (field->held)
            continue;
        if (!is_zero (object + field->offset, field->size))
            mask[bit / 8] |= (uint8_t)(1u << bit % 8);
        bit++;
    }
    write_bytes (pass->out, mask, (bit + 7) / 8);
    bit = 0;
    for (uint32_t i = 0; i < table->count; i++) {
        const struct field *field = &table->fields[i];
        if (field->held)
            continue;
        if (mask[bit / 8] >> bit % 8 & 1)
            write_bytes (pass->out, object + field->offset, field->size);
        bit++;
    }
}

static void load_struct (struct pass *pass, uint32_t which, uint8_t *object)
{
    uint8_t mask[FIELDS_MAX / 8] = { 0 };
    pass_bytes (pass, mask, (pass->stored[which] + 7) / 8);
    for (uint32_t i = 0; i < pass->stored[which]; i++) {
        uint32_t at = pass->mine[which][i];
        if (!(mask[i / 8] >> i % 8 & 1))
            continue;
        if (at == UNKNOWN)
            pass_over (pass, pass->bytes[which][i]);
        else
            pass_bytes (pass, object + tables[which].fields[at].offset,
                        tables[which].fields[at].size);
    }
}

/* A struct to be loaded is zero before. */
static void pass_struct (struct pass *pass, uint32_t which, void *object)
{
    if (pass->out)
        save_struct (pass, &tables[which], object);
    else
        load_struct (pass, which, object);
}

/* One that is NULL where it was never needed. */
static void *pass_one (struct pass *pass, uint32_t which, void *object)
{
    if (!pass_number (pass, object != NULL))
        return object;
    object = pass->out ? object : need (1, tables[which].size);
    pass_struct (pass, which, object);
    return object;
}

/* A list of structs that are nothing but fields; `capacity` may be NULL. */
static void *pass_list (struct pass *pass, uint32_t which, void *list, uint32_t *count,
                        uint32_t *capacity)
{
    *count = pass_count (pass, *count);
    if (!pass->out) {
        list = *count ? need (*count, tables[which].size) : NULL;
        if (capacity)
            *capacity = *count;
    }
    for (uint32_t i = 0; i < *count; i++)
        pass_struct (pass, which, (uint8_t *)list + i * tables[which].size);
    return list;
}

/* --- the walk --------------------------------------------------------------------------------- */

static void pass_names (struct pass *pass, struct names *names)
{
    uint32_t count = pass_count (pass, names->count);
    for (uint32_t i = 0; i < count; i++) {
        char name[64] = "";
        if (pass->out)
            memcpy (name, names->list[i], sizeof name);
        pass_bytes (pass, name, sizeof name);
        name[sizeof name - 1] = '\0';
        if (!pass->out)
            names_set (names, name, true);
    }
}

static void pass_generation (struct pass *pass, struct job_durable *job)
{
    struct generation *generation = &job->generation;
    uint32_t maps = generation->first_map ? 4 * job->micro_batches : 0;
    generation->members = pass_list (pass, MEMBER, generation->members, &generation->size, NULL);
    maps = pass_count (pass, maps);
    if (maps && maps != 4 * job->micro_batches)
        pass->bad = true;
    if (!maps || pass->bad)
        return;
    generation->first_map = pass_block (pass, generation->first_map, maps);
    generation->map = generation->first_map + maps / 2;
}

static void pass_commits (struct pass *pass, struct job_durable *job)
{
    uint32_t count = pass_count (pass, job->commit_count);
    if (!pass->out)
        job->commits = count ? need (count, sizeof *job->commits) : NULL;
    for (uint32_t i = 0; i < count; i++) {
        pass_struct (pass, COMMIT, &job->commits[i]);
        job->commits[i].path = pass_text (pass, job->commits[i].path);
    }
    job->commit_count = count;
    if (!pass->out)
        job->commit_capacity = count;
}

static void pass_durable_job (struct pass *pass, struct job_durable *job)
{
    pass_struct (pass, JOB, job);
    job->spec = pass_blob (pass, job->spec);
    job->data_identity = pass_note (pass, job->data_identity);
    job->compute_class = pass_note (pass, job->compute_class);
    job->reason = pass_text (pass, job->reason);
    job->hung = pass_note (pass, job->hung);
    job->disputed = pass_note (pass, job->disputed);
    pass_generation (pass, job);
    pass_commits (pass, job);
    job->suspicion.strikes = pass_list (pass, STRIKE, job->suspicion.strikes, &job->suspicion.count,
                                        &job->suspicion.capacity);
    job->skips = pass_list (pass, SKIP, job->skips, &job->skip_count, &job->skip_capacity);
    job->outcasts =
        pass_list (pass, OUTCAST, job->outcasts, &job->outcast_count, &job->outcast_capacity);
    job->absentees =
        pass_list (pass, ABSENTEE, job->absentees, &job->absentee_count, &job->absentee_capacity);
    job->savers = pass_list (pass, SAVER, job->savers, &job->saver_count, &job->saver_capacity);
    job->sums = pass_list (pass, SUM, job->sums, &job->sum_count, NULL);
}

static struct job *load_job (struct pass *pass, struct durable *durable, uint32_t number)
{
    struct job *job = need (1, sizeof *job);
    pass->bad = pass->bad || number <= durable->job_count;
    if (!pass->bad)
        job_put_forgotten (durable, number - 1);
    job_put (durable, job);
    return job;
}

static void pass_jobs (struct pass *pass, struct coord *coord)
{
    struct durable *durable = &coord->durable;
    uint32_t submitted = pass_number (pass, durable->job_count), at = 0;
    uint32_t count = pass_count (pass, coord_jobs_known (coord));
    for (uint32_t i = 0; i < count && !pass->bad; i++) {
        struct job *job = NULL;
        if (pass->out) {
            at = (uint32_t)coord_job_next (coord, at);
            job = core_job (coord, at);
        }
        at = pass_number (pass, at);
        if (!pass->out)
            job = load_job (pass, durable, at);
        pass_durable_job (pass, &job->durable);
        if (!pass->out && *job->durable.key)
            index_add (&durable->keys, index_hash_text (job->durable.key), at);
    }
    pass->bad = pass->bad || submitted < durable->job_count;
    if (!pass->out && !pass->bad)
        job_put_forgotten (durable, submitted);
    uint32_t live = pass_count (pass, durable->live_count);
    for (uint32_t i = 0; i < live; i++) {
        uint32_t number =
            pass_number (pass, pass->out ? (uint32_t)durable->live[i]->durable.number : 0);
        pass->bad = pass->bad || !core_job (coord, number);
        if (pass->out || pass->bad)
            continue;
        durable->live =
            core_grow (durable->live, i, &durable->live_capacity, sizeof (struct job *));
        durable->live[i] = core_job (coord, number);
        durable->live_count = i + 1;
    }
}

/* A worker by its number, NONE for nobody. */
static struct worker *pass_worker_of (struct pass *pass, const struct coord *coord,
                                      struct worker *worker)
{
    uint32_t number = pass_number (pass, worker ? worker->number : NONE);
    if (pass->out)
        return worker;
    pass->bad = pass->bad || (number != NONE && number >= coord->worker_count);
    return pass->bad || number == NONE ? NULL : coord->workers[number];
}

static void pass_workers (struct pass *pass, struct coord *coord)
{
    uint32_t count = pass_count (pass, coord->worker_count);
    for (uint32_t i = 0; i < count && !pass->bad; i++) {
        if (!pass->out) {
            coord->workers =
                core_grow (coord->workers, i, &coord->worker_capacity, sizeof (struct worker *));
            coord->workers[i] = need (1, sizeof (struct worker));
            coord->worker_count = i + 1;
        }
        struct worker *worker = coord->workers[i];
        pass_struct (pass, WORKER, worker);
        uint32_t job = pass_number (pass, worker->job ? (uint32_t)worker->job->durable.number : 0);
        if (pass->out)
            continue;
        worker->job = core_job (coord, job);
        pass->bad = pass->bad || worker->number != i || (job && !worker->job);
        roster_file (coord, worker);
    }
}

/* Nothing was said, or something empty: the core tells them apart by the pointer. */
static void pass_said (struct pass *pass, struct mu_blob *blob)
{
    if (pass_number (pass, blob->data != NULL))
        *blob = pass_blob (pass, *blob);
}

static void pass_fence (struct pass *pass, struct fence *fence, uint32_t size)
{
    uint32_t values = pass_number (pass, fence->values != NULL);
    fence->count = pass_number (pass, fence->count);
    pass_bytes (pass, &fence->bytes, sizeof fence->bytes);
    if (values && !pass->out)
        fence->values = need (size, sizeof *fence->values);
    for (uint32_t rank = 0; values && rank < size; rank++)
        pass_said (pass, &fence->values[rank]);
    pass_said (pass, &fence->all);
}

static struct fences *pass_fences (struct pass *pass, struct fences *fences)
{
    uint32_t size = pass_count (pass, fences ? fences->size : 0);
    if (!size)
        return fences;
    if (!pass->out) {
        fences = need (1, sizeof *fences);
        fences->size = size;
    }
    for (uint32_t i = 0; i < FENCES_MAX; i++)
        pass_fence (pass, &fences->list[i], size);
    return fences;
}

static void pass_ahead (struct pass *pass, const struct coord *coord, struct job_soft *soft)
{
    soft->ahead = pass_one (pass, AHEAD, soft->ahead);
    struct ahead *ahead = soft->ahead;
    if (!ahead)
        return;
    ahead->size = pass_count (pass, ahead->size);
    if (ahead->size && !pass->out)
        ahead->members = need (ahead->size, sizeof *ahead->members);
    for (uint32_t rank = 0; rank < ahead->size; rank++) {
        struct ahead_member *member = &ahead->members[rank];
        member->worker = pass_worker_of (pass, coord, member->worker);
        member->connected = pass_number (pass, member->connected);
    }
    ahead->fences = pass_fences (pass, ahead->fences);
}

static void pass_comparisons (struct pass *pass, struct job_soft *soft)
{
    soft->comparison_count = pass_count (pass, soft->comparison_count);
    if (soft->comparison_count && soft->comparison_count <= COMPARISONS) /* no room for gradients */
        pass->bad = true;
    if (soft->comparison_count && !pass->out)
        soft->comparisons = need (soft->comparison_count, sizeof *soft->comparisons);
    for (uint32_t i = 0; i < soft->comparison_count; i++) {
        struct comparison *comparison = &soft->comparisons[i];
        uint32_t count = comparison->opinions ? comparison->ranks : 0;
        pass_struct (pass, COMPARISON, comparison);
        comparison->opinions = pass_list (pass, OPINION, comparison->opinions, &count, NULL);
        if (comparison->ranks != count)
            pass->bad = true;
    }
}

static void pass_samples (struct pass *pass, struct job_soft *soft)
{
    uint32_t count = soft->samples ? SAMPLES : 0;
    soft->samples = pass_list (pass, SAMPLE, soft->samples, &count, NULL);
    pass->bad = pass->bad || (count && count != SAMPLES) || (soft->sample_count && !count);
}

static void pass_soft_job (struct pass *pass, struct coord *coord, struct job *job)
{
    struct job_soft *soft = &job->soft;
    pass_struct (pass, SOFT, soft);
    uint32_t count = pass_count (pass, soft->worker_count);
    for (uint32_t i = 0; i < count && !pass->bad; i++) {
        struct worker *worker = pass_worker_of (pass, coord, pass->out ? soft->workers[i] : NULL);
        if (pass->out || !worker)
            continue;
        soft->workers = core_grow (soft->workers, i, &soft->worker_capacity, sizeof worker);
        soft->workers[i] = worker;
        soft->worker_count = i + 1;
    }
    uint32_t ranks = pass_number (pass, soft->ranks != NULL);
    if (ranks && !pass->out)
        soft->ranks = need (job->durable.generation.size, sizeof (struct worker *));
    for (uint32_t rank = 0; ranks && rank < job->durable.generation.size; rank++)
        soft->ranks[rank] = pass_worker_of (pass, coord, soft->ranks[rank]);
    soft->fences = pass_fences (pass, soft->fences);
    pass_ahead (pass, coord, soft);
    soft->doubt = pass_one (pass, DOUBT, soft->doubt);
    pass_comparisons (pass, soft);
    pass_samples (pass, soft);
    soft->why = pass_note (pass, soft->why);
    soft->unevaluated = pass_note (pass, soft->unevaluated);
    soft->shrunk = pass_note (pass, soft->shrunk);
    soft->stands = pass_note (pass, soft->stands);
    soft->overdue.worker = pass_note (pass, soft->overdue.worker);
    soft->overdue.text = pass_note (pass, soft->overdue.text);
    soft->sized_by = pass_note (pass, soft->sized_by);
    for (int i = 0; i < MISFITS; i++)
        soft->misfits[i].name = pass_note (pass, soft->misfits[i].name);
}

static void pass_core (struct pass *pass, struct coord *coord)
{
    pass_tables (pass);
    pass_struct (pass, COORD, coord);
    pass_names (pass, &coord->durable.drained);
    pass_names (pass, &coord->durable.quarantined);
    pass_jobs (pass, coord);
    pass_workers (pass, coord);
    for (uint64_t number = 0; !pass->bad && (number = coord_job_next (coord, number));)
        pass_soft_job (pass, coord, core_job (coord, number));
}

/* --- the interface ---------------------------------------------------------------------------- */

void coord_save (const struct coord *coord, struct coord_image *image)
{
    struct pass *pass = need (1, sizeof *pass);
    image->size = 0;
    pass->out = image;
    assert (!coord->touched_count); /* between two steps nothing is */
    pass_core (pass, (struct coord *)(uintptr_t)coord);
    free (pass);
}

int coord_load (struct coord *coord, const void *data, size_t size, struct mu_error *error)
{
    struct pass *pass = need (1, sizeof *pass);
    pass->data = data;
    pass->left = size;
    pass_core (pass, coord);
    bool bad = pass->bad || pass->left;
    free (pass);
    return bad ? mu_fail (error, MU_BAD_INPUT,
                          "the core's state in it cannot be read: it was written by a Muster that "
                          "keeps other things, or is damaged")
               : 0;
}

const char *coord_image_uncovered (size_t *offset)
{
    for (uint32_t which = 0; which < TABLES; which++) {
        const struct table *table = &tables[which];
        *offset = 0;
        for (uint32_t i = 0; i <= table->count; i++) {
            size_t next = i < table->count ? table->fields[i].offset : table->size;
            size_t gap = next - *offset;
            bool padding = gap < 4 ? next % 4 == 0 || !gap : gap < 8 && next % 8 == 0;
            if (!padding)
                return table->name;
            if (i < table->count)
                *offset = next + table->fields[i].size;
        }
    }
    return NULL;
}
