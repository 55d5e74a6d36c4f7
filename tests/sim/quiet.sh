#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# What each change costs in a world where nothing else happens: each scene (tests/sim/quiet.c) for so many
# seeds, which choose the number of workers, the speed of what is around them, and the moment. Then the same of
# coordinators that take each other's place. MUSTER_QUIET_SEEDS says how many (default 120).
bin=${top_builddir:-.}/tests/sim
seeds=${MUSTER_QUIET_SEEDS:-120}
number=0 failed=0
tmp=$(mktemp)
trap 'rm -f "$tmp"' EXIT
scenes=$("$bin/sim" --quiet list)
reigns=$("$bin/reigns" --quiet list)

try () { # program, scene
    number=$((number + 1))
    if "$bin/$1" --quiet "$2" --seed 1 --seeds "$seeds" >"$tmp" 2>&1; then
        echo "ok $number - $(grep "^$2:" "$tmp")"
    else
        tail -n 3 "$tmp" | sed 's/^/# /'
        echo "not ok $number - $2"
        failed=1
    fi
}

echo 1..$(echo $scenes $reigns | wc -w)
for scene in $scenes; do
    try sim "$scene"
done
for scene in $reigns; do
    try reigns "$scene"
done
exit $failed
