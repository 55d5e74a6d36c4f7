#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What bash offers behind a word: commands and choices, options where a - was typed, else (nothing here) files.
common=${top_builddir:-.}/common
number=0
. "$common/muster.bash"
. "$common/muster-worker.bash"
offers () { # WHAT FUNCTION WORD...: the last word is being typed
    local what=$1 function=$2
    shift 2
    COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMPREPLY=(junk)
    "$function"
    number=$((number + 1))
    if [ "${COMPREPLY[*]}" = "$what" ]; then echo "ok $number - $*: $what"; else
        echo "not ok $number - $*: ${COMPREPLY[*]}, not $what"
    fi
}
echo 1..11
offers "submit" _muster muster sub
offers "inspect tokenize" _muster muster -o json data ''
offers "table json" _muster muster jobs -o ''
offers "" _muster muster submit ''
offers "--set" _muster muster submit job.yaml --s
offers "csv" _muster muster data inspect --format c
offers "agent trainer collective" _muster muster fault kill worker-1 --process ''
offers "" _muster muster data inspect --labels ''
offers "" _muster muster data inspect tokenize
offers "--isa" _muster_worker muster-worker --is
offers "auto avx512 avx2 plain" _muster_worker muster-worker --isa ''
