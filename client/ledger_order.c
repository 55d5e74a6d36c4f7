/* SPDX-License-Identifier: Apache-2.0 */
/* ledger_order.c - in each epoch every record comes once
 *
 * Micro-batch m of step s holds the places s * global_batch + m * micro_batch and on of a stream of
 * records, epoch behind epoch; a step may reach from one into the next, so at an epoch's end no
 * record is left out, and none comes twice. That the trained steps have no gap and their
 * micro-batches no double makes every place up to the last trained one come once. What is left to
 * check is the order itself (worker/data/order.h), and it is checked, not believed: if for each
 * place of an epoch the record that stands there is in range and leads back to the same place, then
 * no two places hold one record, and as there are as many records as places each has one. That
 * needs no memory, and it holds whatever the way back is, even a wrong one. */
#include "ledger.h"

#include "worker/data/order.h"

#include <inttypes.h>
#include <jansson.h>
#include <string.h>

#define TELL_EVERY 65536u

int ledger_seed (const struct ledger *ledger, uint64_t *seed)
{
    json_t *spec = json_loads (ledger->spec ? ledger->spec : "", 0, NULL);
    const json_t *value = json_object_get (spec, "seed");
    bool good = json_is_integer (value);
    if (good)
        *seed = (uint64_t)json_integer_value (value);
    json_decref (spec);
    return good ? 0 : -1;
}

static int refuse (struct mu_error *error, uint64_t place, uint64_t record, uint64_t records)
{
    return mu_fail (error, MU_FAILED,
                    "epoch %" PRIu64 " is no permutation: its place %" PRIu64
                    " holds record %" PRIu64 ", which is out of range or stands elsewhere too",
                    place / records + 1, place % records, record);
}

int ledger_check_stream (const struct ledger_stream *stream, uint64_t records, uint64_t places,
                         ledger_progress *progress, void *arg, struct mu_error *error)
{
    for (uint64_t place = 0; place < places; place++) {
        uint64_t record = stream->record (stream->order, place);
        if (record >= records || stream->place (stream->order, place / records, record) != place)
            return refuse (error, place, record, records);
        if (place % TELL_EVERY == 0)
            progress (arg, place, places);
    }
    return 0;
}

static uint64_t record_at (const void *order, uint64_t place)
{
    return mu_order_record (order, place);
}

static uint64_t place_of (const void *order, uint64_t epoch, uint64_t record)
{
    return mu_order_position (order, epoch, record);
}

int ledger_check_order (const struct ledger *ledger, uint64_t seed, uint64_t places,
                        ledger_progress *progress, void *arg, struct mu_error *error)
{
    struct mu_order order;
    const struct ledger_stream stream = { record_at, place_of, &order };
    if (!places)
        return 0;
    if (!ledger->records || ledger->records > MU_ORDER_RECORDS_MAX)
        return mu_fail (error, MU_FAILED, "a data set of %" PRIu64 " records has no order",
                        ledger->records);
    mu_order_init (&order, ledger->records, seed);
    return ledger_check_stream (&stream, ledger->records, places, progress, arg, error);
}
