/* SPDX-License-Identifier: Apache-2.0 */
/* network.c - messages as bytes: lost, late, twice, in another order, cut one way or both
 *
 * A worker's line has two directions that are cut separately, and a third one to the other workers,
 * which decides whether a world can form. Its connection may also stand and lead to nobody. Where there is
 * no coordinator to connect to, what a worker says waits in libzmq's pipe until there is. Each
 * message is encoded when it is sent and decoded when it comes, by the real code. */
#include "sim.h"

#include "common/dial.h"

#include <msgpack.h>
#include <stdlib.h>
#include <string.h>

#define ECHO_MS    60000u
#define HIGH_WATER 1000u

struct packet {
    size_t size;
    char bytes[];
};

struct line {
    uint64_t cut_to_host_ms, cut_from_host_ms, cut_peers_ms; /* until then */
    uint64_t last_to_host_ms, last_from_host_ms;             /* for lines that keep their order */
    bool swallowed; /* the connection stands, and nothing gets through, until there is another */
    bool dials;     /* it was to a coordinator that died, and leads to no other yet */
    struct packet *waiting[HIGH_WATER]; /* said meanwhile */
    uint32_t waiting_count;
};

static struct line *lines;
static uint64_t host_died_ms; /* the last time; 0: it never did */
static uint32_t line_count;
static msgpack_sbuffer buffer;
static msgpack_zone zone;
static bool ready;

static void drop_waiting (struct line *line)
{
    while (line->waiting_count)
        free (line->waiting[--line->waiting_count]);
}

void network_reset (void)
{
    if (!ready) {
        msgpack_sbuffer_init (&buffer);
        msgpack_zone_init (&zone, 65536);
        ready = true;
    }
    for (uint32_t i = 0; i < line_count; i++)
        drop_waiting (&lines[i]);
    free (lines);
    line_count = options.workers;
    lines = calloc (line_count + 1, sizeof *lines);
    if (!lines)
        abort ();
    host_died_ms = 0;
}

struct packet *packet_of (const struct mu_wire *wire)
{
    struct mu_error error;
    msgpack_sbuffer_clear (&buffer);
    if (mu_record_encode (&mu_wire_family, wire, &buffer, &error))
        sim_fail (__FILE__, __LINE__, "a message can be encoded", "%s", error.text);
    struct packet *packet = malloc (sizeof *packet + buffer.size);
    if (!packet)
        abort ();
    packet->size = buffer.size;
    memcpy (packet->bytes, buffer.data, buffer.size);
    return packet;
}

void packet_read (const struct packet *packet, struct mu_wire *wire)
{
    struct mu_error error;
    msgpack_zone_clear (&zone);
    if (mu_record_decode (&mu_wire_family, wire, packet->bytes, packet->size, 0, &zone, &error))
        sim_fail (__FILE__, __LINE__, "a message can be decoded", "%s", error.text);
}

struct packet *packet_copy (const struct packet *packet)
{
    struct packet *copy = malloc (sizeof *copy + packet->size);
    if (!copy)
        abort ();
    memcpy (copy, packet, sizeof *copy + packet->size);
    return copy;
}

/* Send it never, once or twice, each time with a delay of its own. */
static void put (const struct mu_wire *wire, bool cut, uint64_t *last_ms, happening *arrive,
                 uint32_t who, uint64_t tag)
{
    statistics.messages++;
    if (cut || chance (faults.loss))
        return;
    struct packet *packet = packet_of (wire);
    if (chance (faults.duplicate)) { /* now and then one comes out of the past */
        bool soon = draw (0, 9) != 0;
        uint64_t late_ms = soon ? 4 * (uint64_t)faults.latency_max_ms : 30000;
        clock_after (draw (1, late_ms), arrive, who, tag, packet_copy (packet));
    }
    if (faults.echo && mu_record_number (&mu_wire_family, wire, "order") && chance (faults.echo))
        clock_after (draw (1, ECHO_MS), arrive, who, tag, packet_copy (packet));
    uint64_t delay_ms = draw (1, faults.latency_max_ms);
    if (faults.in_order && clock_now () + delay_ms < *last_ms)
        delay_ms = *last_ms - clock_now ();
    *last_ms = clock_now () + delay_ms;
    clock_after (delay_ms, arrive, who, tag, packet);
}

static void arrive_at_host (uint32_t worker, uint64_t peer, void *data)
{
    struct mu_wire wire;
    (void)worker;
    packet_read (data, &wire);
    host_hear (peer, &wire);
}

static void arrive_at_worker (uint32_t worker, uint64_t life, void *data)
{
    struct mu_wire wire;
    const struct sim_worker *at = worker_at (worker);
    if (at->agent && at->life == life && clock_now () < at->frozen_until_ms) {
        clock_after (at->frozen_until_ms - clock_now (), arrive_at_worker, worker, life,
                     packet_copy (data));
        return;
    }
    packet_read (data, &wire);
    worker_hear (worker, life, &wire);
}

static void arrive_at_client (uint32_t client, uint64_t tag, void *data)
{
    struct mu_wire wire;
    (void)tag;
    packet_read (data, &wire);
    client_hear (client, &wire);
}

void network_to_host (uint32_t worker, uint64_t peer, const struct mu_wire *wire)
{
    struct line *line = &lines[worker];
    if (!line->dials)
        put (wire, line->swallowed || clock_now () < line->cut_to_host_ms, &line->last_to_host_ms,
             arrive_at_host, worker, peer);
    else if (line->waiting_count < HIGH_WATER)
        line->waiting[line->waiting_count++] = packet_of (wire);
}

void network_to_worker (uint32_t worker, uint64_t life, const struct mu_wire *wire)
{
    struct line *line = &lines[worker];
    put (wire, line->swallowed || clock_now () < line->cut_from_host_ms, &line->last_from_host_ms,
         arrive_at_worker, worker, life);
}

void network_from_client (uint32_t client, const struct mu_wire *wire)
{
    put (wire, false, &lines[line_count].last_to_host_ms, arrive_at_host, 0,
         UINT64_C (1) << 40 | client);
}

void network_to_client (uint32_t client, const struct mu_wire *wire)
{
    put (wire, false, &lines[line_count].last_from_host_ms, arrive_at_client, client, 0);
}

uint64_t network_empties_ms (uint32_t worker)
{
    uint64_t delay_ms = draw (1, faults.latency_max_ms), last_ms = lines[worker].last_to_host_ms;
    return clock_now () + delay_ms < last_ms ? last_ms - clock_now () : delay_ms;
}

void network_cut (uint32_t worker)
{
    struct line *line = &lines[worker];
    uint64_t until_ms = clock_now () + draw (50, 6000);
    statistics.cuts++;
    uint64_t which = draw (1, 7);
    if (which & 1)
        line->cut_to_host_ms = until_ms;
    if (which & 2)
        line->cut_from_host_ms = until_ms;
    if (which & 4)
        line->cut_peers_ms = until_ms;
}

void network_swallow (uint32_t worker)
{
    statistics.swallowed += !lines[worker].swallowed;
    lines[worker].swallowed = true;
}

void network_redialled (uint32_t worker)
{
    struct line *line = &lines[worker];
    drop_waiting (line);
    line->swallowed = false;
    line->dials = host_died_ms && !host_is_up ();
}

/* In scripted runs what is said to nobody is lost: they measure how long words take that are said anew. */
void network_host_died (void)
{
    host_died_ms = options.story || options.quiet ? 0 : clock_now ();
    for (uint32_t i = 0; i < line_count && host_died_ms; i++)
        lines[i].dials = !lines[i].swallowed;
}

static void connect_line (uint32_t worker, uint64_t peer, void *data)
{
    struct line *line = &lines[worker];
    struct mu_wire wire;
    (void)data;
    if (!line->dials || !host_is_up () || !worker_at (worker)->agent ||
        worker_at (worker)->peer != peer)
        return;
    if (clock_now () < line->cut_to_host_ms) {
        clock_after (line->cut_to_host_ms - clock_now (), connect_line, worker, peer, NULL);
        return;
    }
    line->dials = false;
    for (uint32_t i = 0; i < line->waiting_count; i++) {
        packet_read (line->waiting[i], &wire);
        network_to_host (worker, peer, &wire);
    }
    drop_waiting (line);
}

/* The longer it was away, the longer are the pauses between two tries. */
void network_host_started (void)
{
    uint64_t pause_ms = 200 + clock_now () - host_died_ms, longest_ms = MU_DIAL_LIMIT_MS + 200;
    for (uint32_t i = 0; i < line_count; i++)
        if (lines[i].dials)
            clock_after (draw (1, pause_ms < longest_ms ? pause_ms : longest_ms), connect_line, i,
                         worker_at (i)->peer, NULL);
}

bool network_lines_up (uint32_t worker) { return clock_now () >= lines[worker].cut_peers_ms; }

void network_heal (void)
{
    for (uint32_t i = 0; i < line_count; i++) /* what is swallowed only its worker can mend */
        lines[i].cut_to_host_ms = lines[i].cut_from_host_ms = lines[i].cut_peers_ms = 0;
}
