/* SPDX-License-Identifier: Apache-2.0 */
/* quota.c - see quota.h */
#include "quota.h"

#include <inttypes.h>
#include <stdio.h>

#define MINUTE_MS 60000u

bool mu_quota_take (struct mu_quota *quota, uint64_t now_ms, uint64_t *unsaid)
{
    if (!quota->minute_ms || now_ms + 1 >= quota->minute_ms + MINUTE_MS) {
        quota->minute_ms = now_ms + 1;
        quota->said = 0;
    }
    if (quota->said == MU_QUOTA_A_MINUTE) {
        quota->unsaid++;
        return false;
    }
    quota->said++;
    *unsaid = quota->unsaid;
    quota->unsaid = 0;
    return true;
}

const char *mu_quota_text (uint64_t unsaid, char *text, uint32_t size)
{
    *text = '\0';
    if (unsaid)
        snprintf (text, size, "; %" PRIu64 " more like it were not logged", unsaid);
    return text;
}
