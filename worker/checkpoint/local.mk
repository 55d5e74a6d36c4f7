# SPDX-License-Identifier: Apache-2.0
# Checkpoints: safetensors, muster.json, written whole or not at all
noinst_LTLIBRARIES += %D%/libcheckpoint.la
%C%_libcheckpoint_la_SOURCES = %D%/checkpoint.h %D%/child.c %D%/child.h %D%/crew.c %D%/crew.h %D%/desk.c %D%/desk.h %D%/digest.c \
    %D%/digest.h %D%/directory.c %D%/directory.h %D%/folder.c %D%/idle.c %D%/idle.h %D%/import.c %D%/lanes.c \
    %D%/lanes.h %D%/load.c %D%/manifest.c %D%/manifest.h %D%/prune.c %D%/safetensors.c %D%/safetensors.h %D%/save.c %D%/sheet.c \
    %D%/sheet.h %D%/slices.c %D%/slices.h %D%/storage.c %D%/storage.h %D%/weave.c \
    %D%/weave.h %D%/write.c
%C%_libcheckpoint_la_CFLAGS = $(AM_CFLAGS) $(JANSSON_CFLAGS) $(SODIUM_CFLAGS)
%C%_libcheckpoint_la_LIBADD = $(JANSSON_LIBS) $(SODIUM_LIBS) -lm

if HAVE_CMOCKA
mu_checkpoint_test_libs = %D%/libcheckpoint.la worker/state/libstate.la \
    worker/kernels/libkernels.la common/libcommon.la $(JANSSON_LIBS) $(SODIUM_LIBS) \
    $(CMOCKA_LIBS) -lpthread -lm
mu_checkpoint_bed = tests/unit/checkpoint_bed.c tests/unit/checkpoint_bed.h $(state_bed)
unit_tests += tests/unit/test_weave
tests_unit_test_weave_CFLAGS = $(AM_CFLAGS) $(SODIUM_CFLAGS)
tests_unit_test_weave_LDADD = $(mu_checkpoint_test_libs)
unit_tests += tests/unit/test_safetensors
tests_unit_test_safetensors_CFLAGS = $(AM_CFLAGS) $(SODIUM_CFLAGS)
tests_unit_test_safetensors_LDADD = $(mu_checkpoint_test_libs)
unit_tests += tests/unit/test_checkpoint
tests_unit_test_checkpoint_SOURCES = tests/unit/test_checkpoint.c $(mu_checkpoint_bed)
tests_unit_test_checkpoint_CFLAGS = $(AM_CFLAGS) $(SODIUM_CFLAGS)
tests_unit_test_checkpoint_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=unlinkat
tests_unit_test_checkpoint_LDADD = $(mu_checkpoint_test_libs)
unit_tests += tests/unit/test_checkpoint_import
tests_unit_test_checkpoint_import_SOURCES = tests/unit/test_checkpoint_import.c $(mu_checkpoint_bed)
tests_unit_test_checkpoint_import_CFLAGS = $(AM_CFLAGS) $(SODIUM_CFLAGS)
tests_unit_test_checkpoint_import_LDADD = $(mu_checkpoint_test_libs)
unit_tests += tests/unit/test_checkpoint_writer
tests_unit_test_checkpoint_writer_SOURCES = tests/unit/test_checkpoint_writer.c $(mu_checkpoint_bed)
tests_unit_test_checkpoint_writer_CFLAGS = $(AM_CFLAGS) $(SODIUM_CFLAGS)
tests_unit_test_checkpoint_writer_LDADD = $(mu_checkpoint_test_libs)
unit_tests += tests/unit/test_slices
tests_unit_test_slices_SOURCES = tests/unit/test_slices.c $(mu_checkpoint_bed)
tests_unit_test_slices_CFLAGS = $(AM_CFLAGS) $(SODIUM_CFLAGS)
tests_unit_test_slices_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=pwrite,--wrap=fsync
tests_unit_test_slices_LDADD = $(mu_checkpoint_test_libs)
endif

if FUZZING
noinst_PROGRAMS += tests/fuzz/fuzz_safetensors
tests_fuzz_fuzz_safetensors_SOURCES = tests/fuzz/fuzz_safetensors.c %D%/safetensors.c \
    %D%/storage.c common/error.c common/text.c
nodist_tests_fuzz_fuzz_safetensors_SOURCES = common/errors.c
tests_fuzz_fuzz_safetensors_CFLAGS = $(AM_CFLAGS) $(JANSSON_CFLAGS) $(SODIUM_CFLAGS) \
    -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined
tests_fuzz_fuzz_safetensors_LDFLAGS = -fsanitize=fuzzer,address,undefined
tests_fuzz_fuzz_safetensors_LDADD = $(JANSSON_LIBS) $(SODIUM_LIBS)
noinst_PROGRAMS += tests/fuzz/fuzz_manifest
tests_fuzz_fuzz_manifest_SOURCES = tests/fuzz/fuzz_manifest.c
tests_fuzz_fuzz_manifest_CFLAGS = $(AM_CFLAGS) $(SODIUM_CFLAGS)
tests_fuzz_fuzz_manifest_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
tests_fuzz_fuzz_manifest_LDADD = %D%/libcheckpoint.la worker/state/libstate.la \
    common/libcommon.la $(JANSSON_LIBS) $(SODIUM_LIBS) -lm
endif

# Other tools read what is written, and the other way round; skips where they are not installed.
check_PROGRAMS += tests/system/gpt_checkpoint
tests_system_gpt_checkpoint_SOURCES = tests/system/gpt_checkpoint.c tests/unit/trainer_bed.c \
    tests/unit/trainer_bed.h
tests_system_gpt_checkpoint_CFLAGS = $(AM_CFLAGS) $(SODIUM_CFLAGS) -ffp-contract=off
tests_system_gpt_checkpoint_LDADD = %D%/libcheckpoint.la worker/state/libstate.la \
    worker/trainers/libtrainers.la worker/kernels/libkernels.la common/libcommon.la \
    $(JANSSON_LIBS) $(SODIUM_LIBS) -lpthread -lm
TESTS += tests/system/check_hf.py
EXTRA_DIST += tests/system/check_hf.py tests/fuzz/corpus/safetensors tests/fuzz/corpus/manifest \
    tests/golden/checkpoint-1
