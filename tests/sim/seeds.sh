#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Simulated worlds: each seed its own mix of faults; then very many workers. A failure prints how to see
# it again. MUSTER_SIM_SEEDS says how many seeds (default 1000), MUSTER_SIM_FIRST where they begin.
sim=${top_builddir:-.}/tests/sim/sim
seeds=${MUSTER_SIM_SEEDS:-1000}
number=0 failed=0
tmp=$(mktemp)
trap 'rm -f "$tmp"' EXIT

try () { # name, arguments
    name=$1
    shift
    number=$((number + 1))
    if "$sim" "$@" >"$tmp" 2>&1; then
        sed 's/^/# /' "$tmp" | tail -n 1
        echo "ok $number - $name"
    else
        tail -n 20 "$tmp" | sed 's/^/# /'
        echo "not ok $number - $name"
        failed=1
    fi
}

once=$(sed -n 's/^\([0-9][0-9]*\(\( --[a-z]*\)\( [0-9][0-9]*\)\{0,1\}\)*\) .*/\1/p' "${top_srcdir:-.}/tests/sim/seeds.txt")
echo 1..$(($(echo "$once" | wc -l) + 5))
while read -r seed options; do
    try "seed $seed${options:+ $options}, which once failed" --seed "$seed" $options
done <<EOF
$once
EOF
try "$seeds seeds: what may never happen does not, and every job ends" \
    --seed "${MUSTER_SIM_FIRST:-1}" --seeds "$seeds"
try "60 seeds: whatever workers and clients say, the coordinator bears it" \
    --seed "${MUSTER_SIM_FIRST:-1}" --seeds 60 --lies
try "60 seeds in which one worker computes wrongly: nobody else is blamed, and what can be put right is" \
    --seed "${MUSTER_SIM_FIRST:-1}" --seeds 60 --wrong
try "10,000 workers" --seed 1 --workers 10000 --calm --jobs 2 --minutes 1
sim=${top_builddir:-.}/tests/sim/reigns
try "$seeds seeds of two and three coordinators: one reigns, nothing acknowledged is lost" \
    --seed 7036 --seeds "$seeds"
exit $failed
