/* SPDX-License-Identifier: Apache-2.0 */
/* metrics.c - `muster metrics`: Prometheus' text format, or JSON
 * Source: https://prometheus.io/docs/instrumenting/exposition_formats/ */
#include "metrics.h"
#include "command.h"
#include "output.h"
#include "wire.h"

#include <stdio.h>
#include <string.h>

static const struct mu_metric_info *find_metric (const char *name)
{
    for (int i = 0; i < MU_METRICS; i++)
        if (!strcmp (mu_metric_info[i].name, name))
            return &mu_metric_info[i];
    return NULL; /* of a newer coordinator */
}

static void print_text (const struct muster_metric_info *metrics, size_t count)
{
    const char *last = "";
    for (size_t i = 0; i < count; i++) {
        const struct mu_metric_info *info = find_metric (metrics[i].metric);
        if (info && strcmp (last, metrics[i].metric))
            printf ("# HELP %s %s\n# TYPE %s %s\n", info->name, info->meaning, info->name,
                    info->kind);
        last = metrics[i].metric;
        if (*metrics[i].label)
            printf ("%s{%s=\"%s\"} %.17g\n", metrics[i].metric,
                    info && info->label ? info->label : "label", metrics[i].label,
                    metrics[i].value);
        else
            printf ("%s %.17g\n", metrics[i].metric, metrics[i].value);
    }
}

int command_metrics (const struct command *command)
{
    struct muster_answer *answer;
    struct muster_error error;
    const struct muster_metric_info *metrics;
    size_t count;
    if (muster_metrics (command->muster, &answer, &metrics, &count, &error))
        return command_fail (&error);
    if (command->json)
        print_json (list_to_json (MU_WIRE_METRIC_LIST, metrics, count));
    else
        print_text (metrics, count);
    muster_answer_free (&answer);
    return 0;
}
