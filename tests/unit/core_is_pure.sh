#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# core_is_pure.sh - the cores of coordinator and agent may ask the C library for memory, for string
# work and for death; for nothing else. The linker's own list says so. And what the coordinator's
# program itself is linked with has no libcurl, whose libraries cost megabytes: decision 0037.
build=${top_builddir:-.}
allowed='calloc|malloc|realloc|free|abort|__assert_fail|mem(cpy|move|set|cmp|chr)|str(len|nlen|cmp|ncmp|chr|str)|v?snprintf|qsort|_GLOBAL_OFFSET_TABLE_'
common='mu_fail|mu_text_set|mu_record_(name|hash|number)|mu_shape_(find|field|seal|is_latest)|mu_(wire|journal)_family|mu_(corruption|duty|job|phase|process|worker|writing)_(state_name|may_move)'
number=0 failed=0

ask () { # name, archive
    number=$((number + 1))
    archive=$build/$2
    if [ ! -f "$archive" ]; then
        echo "not ok $number - $1: $archive is not there"
        failed=1
        return
    fi
    undefined=$(nm -u "$archive" | sed -n 's/^ *U //p' | sort -u)
    case $undefined in *__asan_*|*__tsan_*|*__ubsan_*)
        echo "ok $number - $1 # SKIP the sanitizers add symbols of their own"
        return ;;
    esac
    own=$(nm "$archive" | sed -n 's/^[0-9a-f]* [TDRB] //p' | sort -u)
    extra=$(echo "$undefined" | grep -vxE "$allowed|$common" | grep -vxF "$own")
    if [ -z "$extra" ]; then
        echo "ok $number - $1 reaches nothing but memory and strings"
    else
        echo "not ok $number - $1 reaches outside itself:" $extra
        failed=1
    fi
}

lean () { # program
    number=$((number + 1))
    needed=$(readelf -d "$build/$1" 2>/dev/null | sed -n 's/.*(NEEDED).*\[\(.*\)\].*/\1/p')
    case $needed in
    '') echo "not ok $number - readelf does not say what $1 is linked with"; failed=1 ;;
    *libcurl*) echo "not ok $number - $1 is linked with libcurl"; failed=1 ;;
    *) echo "ok $number - $1 is not linked with libcurl" ;;
    esac
}

echo 1..4
ask "the coordinator's core" coordinator/.libs/libcoord.a
ask "the agent's core" worker/.libs/libagent.a
ask "the vote on who reigns" coordinator/.libs/libvote.a
lean muster-coordinator
exit $failed
