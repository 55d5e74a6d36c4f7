#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A released field never changes: the schemas are held to their locks, and the lock is held to catch it.
srcdir=${top_srcdir:-.}
python=${PYTHON:-python3}
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
echo 1..5
number=0
result () {
    number=$((number + 1))
    if [ "$1" -eq 0 ]; then echo "ok $number - $2"; else echo "not ok $number - $2"; fi
}
for family in wire journal recording; do
    "$python" "$srcdir/scripts/lock_schemas.py" check "$srcdir/schemas/$family.schema" "$srcdir/schemas/golden/$family-1.lock" >"$tmp/out"
    rc=$?
    sed 's/^/# /' "$tmp/out"
    result $rc "the $family schema keeps what was released"
done
sed 's/^\(    1  *name  *text\) 63/\1 64/' "$srcdir/schemas/wire.schema" >"$tmp/wire.schema"
cmp -s "$tmp/wire.schema" "$srcdir/schemas/wire.schema"
[ $? -eq 1 ] && ! "$python" "$srcdir/scripts/lock_schemas.py" check "$tmp/wire.schema" "$srcdir/schemas/golden/wire-1.lock" >/dev/null
result $? "a changed limit is caught"
grep -v '^    2  *incarnation' "$srcdir/schemas/wire.schema" >"$tmp/wire.schema"
! "$python" "$srcdir/scripts/lock_schemas.py" check "$tmp/wire.schema" "$srcdir/schemas/golden/wire-1.lock" >/dev/null
result $? "a field taken away is caught"
