# SPDX-License-Identifier: Apache-2.0
# The training state of one worker: its layout, the exact sums, the update
noinst_LTLIBRARIES += %D%/libstate.la
%C%_libstate_la_SOURCES = %D%/state.c %D%/state.h %D%/quantise.c %D%/quantise.h \
    %D%/optimizer.c %D%/optimizer.h
# Contraction would round once where another CPU rounds twice.
%C%_libstate_la_CFLAGS = $(AM_CFLAGS) $(SODIUM_CFLAGS) -ffp-contract=off
%C%_libstate_la_LIBADD = $(SODIUM_LIBS) -lm
