/* SPDX-License-Identifier: Apache-2.0 */
/* host.c - the coordinator's shell: its disk, its crashes
 *
 * Records are written in the order they were stored and become durable a moment later; words wait
 * for the records before them, as the contract in coord.h says. A crash comes between two actions:
 * of the records not yet durable any number of the first may survive, of the words that waited none
 * leaves. A disk may stand still: then words wait, the core has no timer, and clocks go on. */
#include "sim.h"

#include "timing.h"

#include <msgpack.h>
#include <stdlib.h>
#include <string.h>

struct stored {
    size_t size;
    char *bytes;
};

struct waiting { /* a word that waits for the disk */
    uint64_t records;
    uint32_t peer;
    size_t size;
    char *bytes;
};

/* Who is drained stays so long at most, to be compared, though a generation breaks: some steps are waited for, of
 * which the longest here take half a minute. Whoever reigns after a restart knows of no comparison
 * (docs/decisions/0043), and begins to count. */
#define COMPARED_MS UINT64_C (180000)

/* As in io_outbox.c: for so long after the first record that is not durable the core has its timer. */
#define MUTE_MS (COORD_LOST_MS / 2)
#define LOOK_MS 5u

struct peer {
    uint32_t worker;
    uint64_t life, incarnation;
};

static struct coord *coord;
static uint64_t life, timer_ms, started_ms;
/* Until when the disk stands still, and since when something is not durable; 0: all is. */
static uint64_t disk_ms, waiting_ms;
static struct coord_actions out;
static struct stored *journal;
static uint64_t record_count, record_capacity, durable_count,
    turn_start; /* before the newest event */
static struct waiting *queue;
static uint32_t queue_count, queue_capacity;
static struct peer *peers;
static uint64_t peer_count, peer_capacity, shuffle;
/* By worker: the process that counts in this reign, the one whose place it took, and when it was heard last. */
static struct place {
    struct peer has, had;
    uint64_t number, heard_ms; /* on which connection, and when; 0: it ended since */
} * places;
static bool repeats;         /* words come twice, and may be older than they look */
static bool *drained;        /* by worker, as stored ... */
static uint64_t *drained_ms; /* ... and since when; 0: it never was */
static msgpack_sbuffer buffer;
static msgpack_zone zone;
static bool ready;

static void *grow (void *old, uint64_t count, uint64_t *capacity, size_t item)
{
    if (count < *capacity)
        return old;
    *capacity = *capacity ? 2 * *capacity : 256;
    void *bigger = realloc (old, *capacity * item);
    if (!bigger)
        abort ();
    return bigger;
}

static void drop_queue (void)
{
    for (uint32_t i = 0; i < queue_count; i++)
        free (queue[i].bytes);
    queue_count = 0;
}

void host_reset (void)
{
    if (!ready) {
        msgpack_sbuffer_init (&buffer);
        msgpack_zone_init (&zone, 65536);
        ready = true;
    }
    coord_destroy (&coord);
    for (uint64_t i = 0; i < record_count; i++)
        free (journal[i].bytes);
    record_count = durable_count = 0;
    drop_queue ();
    peer_count = 0;
    disk_ms = waiting_ms = 0;
    life++;
    free (places);
    places = calloc (options.workers, sizeof *places);
    repeats = false;
    free (drained);
    free (drained_ms);
    drained = calloc (options.workers, sizeof *drained);
    drained_ms = calloc (options.workers, sizeof *drained_ms);
    if (!places || !drained || !drained_ms)
        abort ();
}

bool host_is_up (void) { return coord != NULL; }
const struct coord *host_coord (void) { return coord; }
uint64_t host_records (void) { return durable_count; }

uint64_t host_new_peer (uint32_t worker, uint64_t worker_life)
{
    peers = grow (peers, peer_count, &peer_capacity, sizeof *peers);
    peers[peer_count] = (struct peer){ worker, worker_life, worker_at (worker)->incarnation };
    return peer_count++;
}

/* The core sees other numbers in each of its lives. Clients are beyond 2^30. */
static uint32_t number_of (uint64_t peer)
{
    if (peer >> 40)
        return (uint32_t)(1u << 30 | (peer & 0xffffff));
    return (uint32_t)((peer ^ shuffle) & 0x3fffffff);
}

static uint64_t peer_of (uint32_t number)
{
    if (number >> 30)
        return UINT64_C (1) << 40 | (number & 0xffffff);
    return number ^ shuffle;
}

/* --- the disk --------------------------------------------------------------------------------- */

static void read_record (uint64_t at, struct mu_journal *record)
{
    struct mu_error error;
    msgpack_zone_clear (&zone);
    if (mu_record_decode (&mu_journal_family, record, journal[at].bytes, journal[at].size, 0, &zone,
                          &error))
        sim_fail (__FILE__, __LINE__, "a record can be decoded", "%s", error.text);
}

static void note_drain (const struct mu_journal *record)
{
    if (record->type == MU_JOURNAL_DRAIN)
        drained[strtoul (record->drain.worker + 1, NULL, 10) - 1] = record->drain.drained;
}

static void write_record (const struct mu_journal *record)
{
    note_drain (record);
    if (record->type == MU_JOURNAL_DRAIN)
        drained_ms[strtoul (record->drain.worker + 1, NULL, 10) - 1] = clock_now ();
    struct mu_error error;
    msgpack_sbuffer_clear (&buffer);
    if (mu_record_encode (&mu_journal_family, record, &buffer, &error))
        sim_fail (__FILE__, __LINE__, "a record can be encoded", "%s", error.text);
    journal = grow (journal, record_count, &record_capacity, sizeof *journal);
    struct stored *stored = &journal[record_count++];
    stored->size = buffer.size;
    stored->bytes = malloc (buffer.size);
    if (!stored->bytes)
        abort ();
    memcpy (stored->bytes, buffer.data, buffer.size);
}

void host_record (uint64_t at, struct mu_journal *record) { read_record (at, record); }

/* Members are those that are there, not who had their names before. */
static void check_members (const struct mu_journal_form *form)
{
    for (uint32_t i = 0; i < form->members.count; i++) {
        uint32_t worker = (uint32_t)strtoul (form->members.items[i].name + 1, NULL, 10) - 1;
        const struct trainer *trainer = &worker_at (worker)->trainer;
        const struct sim_job *job = client_job (form->job);
        bool keeps_it = !trainer->alive || trainer->job == form->job;
        uint64_t since_ms = drained_ms[worker] > started_ms ? drained_ms[worker] : started_ms;
        CHECK (!drained[worker] || (keeps_it && clock_now () < since_ms + COMPARED_MS),
               "drained %s is a member", worker_name (worker));
        CHECK (!job->odd_data || worker > 0 || form->members.count == 1,
               "%s has other data than the other members", worker_name (worker));
        CHECK (!faults.in_order || faults.duplicate || !trainer->open ||
                   trainer->job != form->job || trainer->step <= form->step,
               "step %" PRIu64 " of %s is thrown away", trainer->step, worker_name (worker));
        CHECK (!places[worker].has.life ||
                   form->members.items[i].incarnation == places[worker].has.incarnation,
               "generation %" PRIu64 " counts on a former %s", form->generation,
               form->members.items[i].name);
    }
}

static bool is_alive (const struct peer *process)
{
    const struct sim_worker *worker = worker_at (process->worker);
    return worker->agent && worker->life == process->life;
}

/* The clock of a worker's new host may tell that it is the older one. A dead process, whose words may come late, does
 * not take the place of one that lives and is heard, but once where its clock was ahead. */
static void check_place (uint64_t number)
{
    const struct peer *process = &peers[number];
    struct place *place = &places[process->worker];
    bool later = process->incarnation > place->has.incarnation && process->life != place->had.life;
    place->number = number;
    if (process->life == place->has.life)
        return;
    CHECK (process->life > place->has.life || !is_alive (&place->has) || later ||
               clock_now () >= place->heard_ms + COORD_LOST_MS,
           "a ghost of %s takes its place", worker_name (process->worker));
    place->had = place->has;
    place->has = *process;
    place->heard_ms = clock_now ();
}

/* Words for a worker are for the process that counts. One that lives is not sent away for the sake of a dead one. */
static void check_listener (uint64_t number, const struct mu_wire *wire)
{
    const struct peer *to = &peers[number];
    if (wire->type == MU_WIRE_REFUSED)
        CHECK (wire->refused.code != MU_CONFLICT || !is_alive (to) || repeats,
               "%s is sent away, and there is no other", worker_name (to->worker));
    if (wire->type == MU_WIRE_WELCOME)
        check_place (number);
    CHECK (to->life == places[to->worker].has.life || wire->type == MU_WIRE_WHO ||
               wire->type == MU_WIRE_REFUSED,
           "a ghost of %s hears %s", worker_name (to->worker),
           mu_record_name (&mu_wire_family, wire->type));
}

static void send_now (uint32_t number, const struct mu_wire *wire)
{
    uint64_t peer = peer_of (number);
    check_word (wire);
    if (peer >> 40) {
        network_to_client ((uint32_t)(peer & 0xffffff), wire);
        return;
    }
    CHECK (peer < peer_count, "a word goes to peer %u, which never spoke", number);
    story_word ("coordinator", worker_name (peers[peer].worker), wire);
    network_to_worker (peers[peer].worker, peers[peer].life, wire);
}

static void synced (uint32_t who, uint64_t its_life, void *data)
{
    uint64_t upto;
    (void)who;
    if (!coord || its_life != life)
        return;
    memcpy (&upto, data, sizeof upto);
    for (; durable_count < upto; durable_count++) {
        struct mu_journal record;
        read_record (durable_count, &record);
        check_record (&record);
    }
    waiting_ms = durable_count < record_count ? clock_now () : 0;
    uint32_t sent = 0;
    for (; sent < queue_count && queue[sent].records <= durable_count; sent++) {
        struct mu_wire wire;
        struct mu_error error;
        msgpack_zone_clear (&zone);
        if (mu_record_decode (&mu_wire_family, &wire, queue[sent].bytes, queue[sent].size, 0, &zone,
                              &error))
            sim_fail (__FILE__, __LINE__, "a word can be decoded", "%s", error.text);
        send_now (queue[sent].peer, &wire);
        free (queue[sent].bytes);
    }
    queue_count -= sent;
    if (queue_count)
        memmove (queue, queue + sent, queue_count * sizeof *queue);
}

/* Until so many records are durable. */
static void hold (uint32_t peer, const struct mu_wire *wire, uint64_t records)
{
    struct mu_error error;
    if (queue_count == queue_capacity) {
        queue_capacity = queue_capacity ? 2 * queue_capacity : 256;
        queue = realloc (queue, queue_capacity * sizeof *queue);
        if (!queue)
            abort ();
    }
    msgpack_sbuffer_clear (&buffer);
    if (mu_record_encode (&mu_wire_family, wire, &buffer, &error))
        sim_fail (__FILE__, __LINE__, "a word can be encoded", "%s", error.text);
    struct waiting *word = &queue[queue_count++];
    *word = (struct waiting){ .records = records, .peer = peer, .size = buffer.size };
    word->bytes = malloc (buffer.size);
    if (!word->bytes)
        abort ();
    memcpy (word->bytes, buffer.data, buffer.size);
}

/* --- life ------------------------------------------------------------------------------------- */

static void come_back (uint32_t who, uint64_t its_life, void *data)
{
    (void)who, (void)data;
    if (!coord && its_life == life)
        host_start ();
}

/* What one event led to is one transaction. Most runs do not even count on that. */
static uint64_t how_many_survive (void)
{
    uint64_t turn = turn_start > durable_count ? turn_start : durable_count;
    if (!faults.restarts)
        return draw (durable_count, record_count);
    return draw (0, 1) ? record_count : turn;
}

void host_disk_stands (uint64_t for_ms)
{
    if (sim_traces ())
        sim_trace ("the coordinator's disk stands still");
    disk_ms = clock_now () + for_ms;
    statistics.disks++;
}

bool host_disk_is_still (void) { return clock_now () < disk_ms; }

void host_crash (uint64_t back_after_ms)
{
    uint64_t survive = how_many_survive ();
    while (record_count > survive)
        free (journal[--record_count].bytes);
    for (; durable_count < record_count; durable_count++) {
        struct mu_journal record;
        read_record (durable_count, &record);
        check_record (&record);
    }
    drop_queue ();
    waiting_ms = 0;
    recordings_check (coord);
    coord_destroy (&coord);
    statistics.host_crashes++;
    life++;
    if (sim_traces ())
        sim_trace ("coordinator dies");
    network_host_died ();
    clock_after (back_after_ms, come_back, 0, life, NULL);
}

static void set_timer (void);

static struct coord_options settings_of_seed (void)
{
    return (struct coord_options){ .version = "0.1.0",
                                   .lease_ahead_ms = faults.lease_ahead_ms,
                                   .quarantine_failures = faults.quarantine_failures,
                                   .jobs_max = faults.jobs_max,
                                   .history_ms = faults.history_ms };
}

static void tell_lies (const struct coord_event *event)
{
    struct coord_options settings = settings_of_seed ();
    lies_event (coord, &settings, event);
}

/* A word waits for the records before it; where turns are whole, for all of its turn. */
static uint64_t last_record (uint64_t before)
{
    uint64_t count = before;
    if (!faults.restarts)
        return record_count;
    for (uint32_t i = 0; i < out.count; i++)
        count += out.list[i].type == COORD_STORE;
    return count;
}

static void step (struct coord_event *event)
{
    event->now_ms = clock_now ();
    event->unix_ms = 1700000000000 + clock_now ();
    out.count = 0;
    repeats |= faults.duplicate || faults.echo;
    bool broke = false;
    uint64_t before = turn_start = record_count;
    coord_step (coord, event, &out);
    recordings_event (coord, event, &out);
    for (uint32_t i = 0; i < out.count; i++)
        if (out.list[i].type == COORD_STORE)
            writers_note (&out.list[i].store);
    tell_lies (event);
    for (uint32_t i = 0; i < out.count; i++) {
        if (chance (faults.host_crash)) {
            host_crash (draw (100, 8000));
            return;
        }
        const struct coord_action *action = &out.list[i];
        if (action->type == COORD_STORE && action->store.type == MU_JOURNAL_FORM) {
            check_members (&action->store.form);
            priority_form (action->store.form.job);
        }
        if (action->type == COORD_STORE && action->store.type == MU_JOURNAL_BROKEN) {
            priority_break (coord, &action->store.broken);
            broke = true;
        }
        if (action->type == COORD_STORE) {
            write_record (&action->store);
            if (hurry_dies (&action->store)) {
                host_crash (draw (50, 3000));
                return;
            }
            continue;
        }
        uint64_t to = peer_of (action->send.peer);
        if (to >> 40 == 0 && to < peer_count)
            check_listener (to, &action->send.wire);
        if (last_record (before) == durable_count)
            send_now (action->send.peer, &action->send.wire);
        else
            hold (action->send.peer, &action->send.wire, last_record (before));
    }
    if (broke && faults.restarts && draw (0, 1)) {
        host_crash (draw (50, 1500));
        return;
    }
    if (record_count > before) {
        uint64_t *upto = malloc (sizeof *upto);
        if (!upto)
            abort ();
        *upto = record_count;
        waiting_ms = waiting_ms ? waiting_ms : clock_now ();
        uint64_t stands_ms = disk_ms > clock_now () ? disk_ms - clock_now () : 0;
        clock_after (stands_ms + draw (0, faults.disk_max_ms), synced, 0, life, upto);
        if (chance ((uint32_t)(UINT64_C (20000000) * 200 / (200 + record_count))))
            host_check_replay ();
    }
    set_timer ();
}

static void on_timer (uint32_t who, uint64_t its_life, void *data)
{
    (void)who, (void)data;
    if (!coord || its_life != life || clock_now () < timer_ms)
        return;
    if (waiting_ms && clock_now () >= waiting_ms + MUTE_MS) {
        clock_after (LOOK_MS, on_timer, 0, life, NULL);
        return;
    }
    timer_ms = UINT64_MAX;
    step (&(struct coord_event){ .type = COORD_TIMER });
}

static void set_timer (void)
{
    uint64_t deadline_ms = coord_deadline (coord);
    if (deadline_ms >= timer_ms || deadline_ms == UINT64_MAX)
        return;
    timer_ms = deadline_ms;
    clock_after (deadline_ms > clock_now () ? deadline_ms - clock_now () : 0, on_timer, 0, life,
                 NULL);
}

static struct coord *replay (bool compacted)
{
    struct mu_error error;
    struct coord_options settings = settings_of_seed ();
    struct coord *copy = coord_create (&settings);
    for (uint64_t i = 0; i < record_count; i++) {
        struct mu_journal record, later;
        read_record (i, &record);
        note_drain (&record);
        bool skip = false;
        if (compacted && record_count < 5000 &&
            (record.type == MU_JOURNAL_LEASE || record.type == MU_JOURNAL_TRAINED))
            for (uint64_t k = i + 1; k < record_count && k < i + 200 && !skip; k++) {
                read_record (k, &later);
                skip =
                    later.type == record.type && later.lease.job == record.lease.job &&
                    later.lease.generation == record.lease.generation &&
                    (record.type == MU_JOURNAL_LEASE || later.trained.rank == record.trained.rank);
            }
        read_record (i, &record);
        if (!skip && coord_apply (copy, &record, &error))
            sim_fail (__FILE__, __LINE__, "a record can be applied", "%s", error.text);
    }
    return copy;
}

void host_check_replay (void)
{
    for (int compacted = 0; compacted < 2; compacted++) {
        struct coord *copy = replay (compacted);
        CHECK (coord_digest (copy) == coord_digest (coord), "replay %s gives another state",
               compacted ? "of a compacted journal" : "of the journal");
        coord_destroy (&copy);
        statistics.replays++;
    }
    ledgers_check (record_count);
    folds_check (record_count);
}

static void record_start (void)
{
    struct coord_options settings = settings_of_seed ();
    recordings_begin (&settings);
    for (uint64_t i = 0; i < record_count; i++) {
        struct mu_journal record;
        read_record (i, &record);
        recordings_apply (&record);
    }
}

void host_check_recording (void) { recordings_check (coord); }

void host_start (void)
{
    memset (drained, 0, options.workers * sizeof *drained);
    coord = replay (false);
    record_start ();
    memset (places, 0, options.workers * sizeof *places);
    check_restart (coord);
    if (sim_traces ())
        sim_trace ("coordinator starts");
    network_host_started ();
    timer_ms = UINT64_MAX;
    started_ms = clock_now ();
    shuffle = draw (0, 0xffffff);
    /* In half of the runs there is a register, though nobody else who would reign. */
    uint64_t leader = !options.story && mix (options.seed, 4001) & 1 ? 77 : 0;
    step (&(struct coord_event){ .type = COORD_START, .reign = { .leader = leader } });
}

void host_hear (uint64_t peer, const struct mu_wire *wire)
{
    struct mu_journal_submit submit;
    struct coord_event event = { .type = COORD_RECEIVE, .peer = number_of (peer), .wire = wire };
    if (!coord)
        return;
    if (peer >> 40 == 0)
        story_word (worker_name (peers[peer].worker), "coordinator", wire);
    if (peer >> 40 == 0 && peer == places[peers[peer].worker].number)
        places[peers[peer].worker].heard_ms = clock_now ();
    if (wire->type == MU_WIRE_SUBMIT) {
        uint32_t at = (uint32_t)strtoul (wire->submit.key, NULL, 10);
        if (check_is_forgotten (client_job_at (at)->number)) /* so late it would make another */
            return;
        client_fill_submit (at, &submit);
        event.submit = &submit;
    }
    step (&event);
}

void host_gone (uint64_t peer)
{
    struct place *place = &places[peers[peer].worker];
    if (peer == place->number)
        place->heard_ms = 0;
    if (coord)
        step (&(struct coord_event){ .type = COORD_GONE, .peer = number_of (peer) });
}
