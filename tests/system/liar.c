/* SPDX-License-Identifier: Apache-2.0 */
/* liar.c - a worker that speaks the real wire to a real coordinator, and lies
 *
 *     liar ENDPOINT NAME SEED MILLISECONDS
 *
 * It says HELLO and asks which jobs there are, as anybody may; then it says some words a millisecond, of all
 * that a worker can say, about these jobs, their generations and steps, most of them changed by lie.c. At
 * the end it tells how many.
 *
 * Two things it does not do, for nobody is authenticated and they would be believed: it takes no other
 * worker's name, and it speaks of no term that has not come. */
#include "tests/sim/lie.h"

#include "states.h"

#include <inttypes.h>
#include <msgpack.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <zmq.h>

#define JOBS_MAX 8u

static struct {
    uint64_t number, generation, step;
} jobs[JOBS_MAX];
static uint32_t job_count;
static uint64_t term, said, unsayable;
static const char *name;
static void *line;
static msgpack_sbuffer bytes;
static msgpack_zone zone;

static const char *own_name (void) { return name; }

static uint64_t now_ms (void)
{
    struct timespec now;
    clock_gettime (CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void say (const struct mu_wire *wire)
{
    struct mu_error error;
    msgpack_sbuffer_clear (&bytes);
    if (mu_record_encode (&mu_wire_family, wire, &bytes, &error) == 0 &&
        zmq_send (line, bytes.data, bytes.size, ZMQ_DONTWAIT) >= 0)
        said++;
    else
        unsayable++;
}

/* --- what it hears ---------------------------------------------------------------------------- */

static void note_jobs (const struct mu_wire_job_list *list)
{
    job_count = list->jobs.count < JOBS_MAX ? list->jobs.count : JOBS_MAX;
    for (uint32_t i = 0; i < job_count; i++) {
        const struct mu_wire_job_info *info = &list->jobs.items[i];
        jobs[i].number = info->job;
        jobs[i].generation = info->generation;
        jobs[i].step = info->step;
    }
}

static void hear (void)
{
    zmq_msg_t message;
    zmq_msg_init (&message);
    while (zmq_msg_recv (&message, line, ZMQ_DONTWAIT) >= 0) {
        struct mu_wire wire;
        struct mu_error error;
        msgpack_zone_clear (&zone);
        if (mu_record_decode (&mu_wire_family, &wire, zmq_msg_data (&message),
                              zmq_msg_size (&message), 1u << MU_ROLE_COORDINATOR, &zone, &error))
            continue;
        term = wire.term > term ? wire.term : term;
        if (wire.type == MU_WIRE_JOB_LIST)
            note_jobs (&wire.job_list);
    }
    zmq_msg_close (&message);
}

/* --- what it says ----------------------------------------------------------------------------- */

static void say_what_is_so (void)
{
    struct mu_wire hello = { .type = MU_WIRE_HELLO,
                             .term = term,
                             .hello = { .incarnation = 1, .threads = 1 } };
    mu_text_set (hello.hello.name, sizeof hello.hello.name, name);
    mu_text_set (hello.hello.compute_class, sizeof hello.hello.compute_class, "portable");
    say (&hello);
    say (&(struct mu_wire){ .type = MU_WIRE_JOBS, .term = term, .jobs = { .request = 1 } });
}

static uint64_t plausible (const struct mu_field *field, uint32_t job)
{
    if (!strcmp (field->name, "job"))
        return jobs[job].number;
    if (!strcmp (field->name, "generation"))
        return jobs[job].generation;
    if (!strcmp (field->name, "step"))
        return jobs[job].step + lie_pick (3);
    return field->low +
           lie_pick (field->high - field->low > 20 ? 20 : field->high - field->low + 1);
}

/* Each number as it may be, each text and blob something short. */
static void fill (struct mu_wire *wire, const struct mu_shape *shape)
{
    uint32_t job = (uint32_t)lie_pick (job_count);
    for (uint32_t i = 0; i < shape->field_count; i++) {
        const struct mu_field *field = &shape->fields[i];
        uint8_t *at = (uint8_t *)wire + mu_wire_family.body_offset + field->offset;
        uint64_t number = plausible (field, job);
        if (field->kind == MU_FIELD_U64)
            memcpy (at, &number, sizeof number);
        else if (field->kind == MU_FIELD_U32)
            memcpy (at, &(uint32_t){ (uint32_t)number }, sizeof (uint32_t));
        else if (field->kind == MU_FIELD_TEXT)
            mu_text_set ((char *)at, field->high + 1,
                         strcmp (field->name, "world") != 0 ? "false" : "");
        else if (field->kind == MU_FIELD_LONGTEXT || field->kind == MU_FIELD_BYTES)
            *(struct mu_blob *)(void *)at = (struct mu_blob){ "/false", 6 };
    }
}

static const struct mu_shape *some_shape (enum mu_wire_type *type)
{
    const struct mu_shape *shape;
    do {
        *type = (enum mu_wire_type)lie_pick (mu_wire_family.shape_count);
        shape = mu_shape_find (&mu_wire_family, *type);
    } while (!shape || shape->sender != MU_ROLE_WORKER || *type == MU_WIRE_HELLO);
    return shape;
}

static void say_what_is_not_so (void)
{
    struct mu_wire wire = { .term = term };
    fill (&wire, some_shape (&wire.type));
    lie (&wire);
    const struct mu_shape *shape = mu_shape_find (&mu_wire_family, wire.type);
    if (wire.type == MU_WIRE_HELLO)
        mu_text_set (wire.hello.name, sizeof wire.hello.name, name);
    wire.term = wire.term > term ? term : wire.term;
    if (shape->sender == MU_ROLE_WORKER)
        say (&wire);
}

static void live (uint64_t milliseconds)
{
    uint64_t end_ms = now_ms () + milliseconds;
    for (uint64_t round = 0; now_ms () < end_ms; round++) {
        if (round % 100 == 0)
            say_what_is_so ();
        hear ();
        for (uint32_t i = 0; i < 3 && job_count; i++)
            say_what_is_not_so ();
        nanosleep (&(struct timespec){ .tv_nsec = 1000000 }, NULL);
    }
}

int main (int argc, char **argv)
{
    if (argc != 5) {
        fprintf (stderr, "usage: liar ENDPOINT NAME SEED MILLISECONDS\n");
        return 64;
    }
    name = argv[2];
    lie_begin (strtoull (argv[3], NULL, 10), own_name);
    msgpack_sbuffer_init (&bytes);
    msgpack_zone_init (&zone, 65536);
    void *context = zmq_ctx_new ();
    line = zmq_socket (context, ZMQ_DEALER);
    zmq_setsockopt (line, ZMQ_IDENTITY, name, strlen (name));
    zmq_setsockopt (line, ZMQ_LINGER, &(int){ 0 }, sizeof (int));
    if (zmq_connect (line, argv[1]))
        return 1;
    live (strtoull (argv[4], NULL, 10));
    printf ("%" PRIu64 " words said, %" PRIu64 " could not be\n", said, unsayable);
    zmq_close (line);
    zmq_ctx_term (context);
    return 0;
}
