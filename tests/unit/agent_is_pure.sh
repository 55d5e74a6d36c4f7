#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# agent_is_pure.sh - the agent's core may ask for memory, for string work and for death; for nothing
# else. The linker's own list says so.
archive=${top_builddir:-.}/worker/.libs/libagent.a
allowed='calloc|malloc|realloc|free|abort|mem(cpy|move|set|cmp)|str(len|nlen|cmp|ncmp|chr)|v?snprintf|__stack_chk_fail'
common='mu_text_set|mu_record_name|mu_wire_family'

echo 1..1
if [ ! -f "$archive" ]; then
    echo "not ok 1 - $archive is not there"
    exit 1
fi
undefined=$(nm -u "$archive" | sed -n 's/^ *U //p' | sort -u)
case $undefined in *__asan_*|*__tsan_*|*__ubsan_*)
    echo "ok 1 - the agent's core # SKIP the sanitizers add symbols of their own"
    exit 0 ;;
esac
own=$(nm "$archive" | sed -n 's/^[0-9a-f]* [TDRB] //p' | sort -u)
extra=$(echo "$undefined" | grep -vxE "$allowed|$common" | grep -vxF "$own")
if [ -z "$extra" ]; then
    echo "ok 1 - the agent's core reaches nothing but memory and strings"
else
    echo "not ok 1 - the agent's core reaches outside itself:" $extra
    exit 1
fi
