#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""gen_metrics.py - turn schemas/metrics.schema into C and into a reference page

usage: gen_metrics.py SCHEMA OUT_DIR      writes metrics.h, metrics.c, metrics.md"""
import re
import sys

from schema import refuse, statements, write_all

LINE = re.compile(r'metric\s+(muster_[a-z_]+)\s+(counter|gauge)\s+([a-z]+)(?:\s+by\s+([a-z]+))?\s+"([^"]*)"$')


def parse(path):
    metrics = []
    for number, text in statements(path):
        match = LINE.match(text)
        if not match:
            refuse(path, number, text)
        name, kind, unit, label, meaning = match.groups()
        if any(name == metric["name"] for metric in metrics):
            sys.exit(f"{path}:{number}: {name} is there twice")
        if (kind == "counter") != name.endswith("_total"):
            sys.exit(f"{path}:{number}: counters, and only they, end in _total")
        if unit != "none" and not name.endswith("_" + unit):
            sys.exit(f"{path}:{number}: the name must end in its unit, {unit}")
        metrics.append(dict(name=name, kind=kind, label=label, meaning=meaning))
    return metrics


def constant(metric):
    return "MU_METRIC_" + metric["name"][len("muster_"):].upper()


def header(metrics):
    yield "/* metrics.h - generated from schemas/metrics.schema; edit that */"
    yield "#ifndef MU_METRICS_H\n#define MU_METRICS_H\n\nenum mu_metric {"
    for metric in metrics:
        yield f"    {constant(metric)}, /* {metric['meaning']} */"
    yield "    MU_METRICS\n};\n"
    yield "struct mu_metric_info {\n    const char *name, *kind, *meaning;\n    const char *label; /* NULL: none */\n};\n"
    yield "extern const struct mu_metric_info mu_metric_info[MU_METRICS];\n\n#endif"


def source(metrics):
    yield '/* metrics.c - generated from schemas/metrics.schema; edit that */\n#include "metrics.h"\n\n#include <stddef.h>\n'
    yield "const struct mu_metric_info mu_metric_info[MU_METRICS] = {"
    for metric in metrics:
        label = f'"{metric["label"]}"' if metric["label"] else "NULL"
        yield f'    [{constant(metric)}] = {{ "{metric["name"]}", "{metric["kind"]}", "{metric["meaning"]}", {label} }},'
    yield "};"


def page(metrics):
    yield "# Metrics\n\nGenerated from `schemas/metrics.schema`. `muster metrics` prints them in Prometheus' text format."
    yield "Those by job are there until the job has ended. [operations.md](operations.md#metrics-and-alerts) says which"
    yield "deserve an alert.\n"
    yield "| name | kind | by | meaning |\n|---|---|---|---|"
    for metric in metrics:
        yield f"| {metric['name']} | {metric['kind']} | {metric['label'] or ''} | {metric['meaning']} |"


if __name__ == "__main__":
    schema, out = sys.argv[1:]
    parsed = parse(schema)
    write_all(out, {"metrics.h": header(parsed), "metrics.c": source(parsed), "metrics.md": page(parsed)})
