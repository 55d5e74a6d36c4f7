# SPDX-License-Identifier: Apache-2.0
# The training state of one worker: its layout, the exact sums, the update
noinst_LTLIBRARIES += %D%/libstate.la
%C%_libstate_la_SOURCES = %D%/state.c %D%/state.h %D%/quantise.c %D%/quantise.h \
    %D%/optimizer.c %D%/optimizer.h
# Contraction would round once where another CPU rounds twice.
%C%_libstate_la_CFLAGS = $(AM_CFLAGS) $(SODIUM_CFLAGS) -ffp-contract=off
%C%_libstate_la_LIBADD = $(SODIUM_LIBS) -lm

if HAVE_CMOCKA
state_bed = tests/unit/state_bed.c tests/unit/state_bed.h
world_bed = $(state_bed) tests/unit/world_bed.c tests/unit/world_bed.h
state_test_flags = $(AM_CFLAGS) -ffp-contract=off
state_test_libs = %D%/libstate.la worker/kernels/libkernels.la common/libcommon.la $(CMOCKA_LIBS) -lpthread -lm
unit_tests += tests/unit/test_state
tests_unit_test_state_SOURCES = tests/unit/test_state.c $(state_bed)
tests_unit_test_state_CFLAGS = $(state_test_flags)
tests_unit_test_state_LDADD = $(state_test_libs)
unit_tests += tests/unit/test_quantise
tests_unit_test_quantise_SOURCES = tests/unit/test_quantise.c $(world_bed)
tests_unit_test_quantise_CFLAGS = $(state_test_flags)
tests_unit_test_quantise_LDADD = $(state_test_libs)
unit_tests += tests/unit/test_optimizer
tests_unit_test_optimizer_SOURCES = tests/unit/test_optimizer.c $(world_bed)
tests_unit_test_optimizer_CFLAGS = $(state_test_flags)
tests_unit_test_optimizer_LDADD = $(state_test_libs)
unit_tests += tests/unit/test_worlds
tests_unit_test_worlds_SOURCES = tests/unit/test_worlds.c $(world_bed)
tests_unit_test_worlds_CFLAGS = $(state_test_flags)
tests_unit_test_worlds_LDADD = $(state_test_libs)
endif
