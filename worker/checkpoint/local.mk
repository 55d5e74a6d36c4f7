# SPDX-License-Identifier: Apache-2.0
# Checkpoints: safetensors, muster.json, written whole or not at all
noinst_LTLIBRARIES += %D%/libcheckpoint.la
%C%_libcheckpoint_la_SOURCES = %D%/checkpoint.h %D%/directory.c %D%/directory.h %D%/import.c \
    %D%/load.c %D%/manifest.c %D%/manifest.h %D%/safetensors.c %D%/safetensors.h %D%/save.c \
    %D%/storage.c %D%/storage.h %D%/write.c
%C%_libcheckpoint_la_CFLAGS = $(AM_CFLAGS) $(JANSSON_CFLAGS) $(SODIUM_CFLAGS)
%C%_libcheckpoint_la_LIBADD = worker/state/libstate.la $(JANSSON_LIBS) $(SODIUM_LIBS) -lm
