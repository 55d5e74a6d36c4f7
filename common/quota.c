/* SPDX-License-Identifier: Apache-2.0 */
/* quota.c - see quota.h */
#include "quota.h"

#include "clock.h"
#include "log.h"

#include <inttypes.h>
#include <stdarg.h>
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

void mu_quota_warn (struct mu_quota *quota, const char *event, const struct mu_error *why,
                    const char *format, ...)
{
    char whom[320], more[64];
    uint64_t unsaid;
    va_list args;
    if (!mu_quota_take (quota, mu_now_ms (), &unsaid))
        return;
    va_start (args, format);
    vsnprintf (whom, sizeof whom, format, args);
    va_end (args);
    mu_log (MU_LOG_WARN, event, NULL, "%s: %s%s", whom, why->text,
            mu_quota_text (unsaid, more, sizeof more));
}
