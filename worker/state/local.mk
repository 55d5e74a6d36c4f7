# SPDX-License-Identifier: Apache-2.0
# The training state of one worker: its layout, the exact sums, the update
noinst_LTLIBRARIES += %D%/libstate.la
%C%_libstate_la_SOURCES = %D%/state.c %D%/state.h %D%/quantise.c %D%/quantise.h \
    %D%/optimizer.c %D%/optimizer.h
# Contraction would round once where another CPU rounds twice.
%C%_libstate_la_CFLAGS = $(AM_CFLAGS) $(SODIUM_CFLAGS) -ffp-contract=off
%C%_libstate_la_LIBADD = $(SODIUM_LIBS) -lm

if HAVE_CMOCKA
unit_tests += tests/unit/test_state
tests_unit_test_state_SOURCES = tests/unit/test_state.c tests/unit/state_bed.c \
    tests/unit/state_bed.h
tests_unit_test_state_CFLAGS = $(AM_CFLAGS) -ffp-contract=off
tests_unit_test_state_LDADD = %D%/libstate.la worker/kernels/libkernels.la common/libcommon.la \
    $(CMOCKA_LIBS) -lpthread -lm
endif
