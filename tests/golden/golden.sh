#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Short stories, word by word: what coordinator and workers say and store, against what they said when
# somebody last read it. After a change that is meant: MUSTER_GOLDEN_UPDATE=1 make check, read the diff.
sim=${top_builddir:-.}/tests/sim/sim
golden=${top_srcdir:-.}/tests/golden
tmp=$(mktemp)
trap 'rm -f "$tmp"' EXIT
stories='two-workers worker-dies coordinator-restarts join-and-drain poison'
number=0 failed=0
echo 1..5
for story in $stories; do
    number=$((number + 1))
    "$sim" --story "$story" >"$tmp" 2>&1
    status=$?
    [ -z "$MUSTER_GOLDEN_UPDATE" ] || cp "$tmp" "$golden/$story.trace"
    if [ $status -eq 0 ] && diff -u "$golden/$story.trace" "$tmp" >"$tmp.diff"; then
        echo "ok $number - $story"
    else
        sed 's/^/# /' "$tmp.diff" | head -n 40
        echo "not ok $number - $story"
        failed=1
    fi
    rm -f "$tmp.diff"
done
exit $failed
