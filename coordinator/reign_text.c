/* SPDX-License-Identifier: Apache-2.0 */
/* reign_text.c - see reign_text.h */
#include "reign_text.h"

#include "lines.h"

#include <string.h>

#define HEAD "muster-reign 1"

static bool is_line (const char *address)
{
    for (const char *at = address; *at; at++)
        if ((unsigned char)*at < ' ' || *at == '\x7f')
            return false;
    return true;
}

static bool is_valid (const struct reign *reign)
{
    bool leads = false;
    if (!reign->term || !reign->leader || !reign->cluster || !reign->revision ||
        reign->in_sync_count > REIGN_MEMBERS_MAX)
        return false;
    for (uint32_t i = 0; i < reign->in_sync_count; i++) {
        if (i && reign->in_sync[i] <= reign->in_sync[i - 1])
            return false;
        leads |= reign->in_sync[i] == reign->leader;
    }
    return leads && is_line (reign->peer) && is_line (reign->client);
}

size_t reign_encode (const struct reign *reign, char text[REIGN_TEXT_MAX])
{
    struct lines_out out;
    if (!is_valid (reign))
        return 0;
    lines_begin (&out, text, REIGN_TEXT_MAX, HEAD);
    lines_number (&out, "cluster", reign->cluster);
    lines_number (&out, "term", reign->term);
    lines_number (&out, "leader", reign->leader);
    lines_number (&out, "revision", reign->revision);
    lines_numbers (&out, "in-sync", reign->in_sync, reign->in_sync_count);
    lines_text (&out, "peer", reign->peer);
    lines_text (&out, "client", reign->client);
    return lines_end (&out) ? out.size : 0;
}

int reign_decode (struct reign *reign, const char *text, size_t size, struct mu_error *error)
{
    struct lines_in in;
    memset (reign, 0, sizeof *reign); /* padding too: values are compared byte by byte */
    if (size == 0)
        return 0;
    if (lines_open (&in, text, size, HEAD, error))
        return -1;
    if (lines_take_number (&in, "cluster", &reign->cluster) &&
        lines_take_number (&in, "term", &reign->term) &&
        lines_take_number (&in, "leader", &reign->leader) &&
        lines_take_number (&in, "revision", &reign->revision) &&
        lines_take_numbers (&in, "in-sync", reign->in_sync, REIGN_MEMBERS_MAX,
                            &reign->in_sync_count) &&
        lines_take_text (&in, "peer", reign->peer, sizeof reign->peer) &&
        lines_take_text (&in, "client", reign->client, sizeof reign->client) &&
        lines_are_read (&in) && is_valid (reign))
        return 0;
    return mu_fail (error, MU_BAD_INPUT, "its lines are not those of a value that says who reigns");
}
