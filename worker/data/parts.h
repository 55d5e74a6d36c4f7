/* SPDX-License-Identifier: Apache-2.0 */
/* parts.h - the inside of struct mu_data, for data.c, describe.c and where.c */
#ifndef MU_DATA_PARTS_H
#define MU_DATA_PARTS_H

#include "format.h"

struct mu_data {
    struct mu_data_info info;
    const struct mu_format *format;
    struct mu_part *parts;
    uint32_t part_count;
    struct mu_chunk_cache *chunks;
    uint64_t first_record; /* of all the data's, that is record 0 here */
    float scale;
};

/* The part that holds this unit. */
const struct mu_part *mu_part_of (const struct mu_data *data, uint64_t unit);

#endif
