# SPDX-License-Identifier: Apache-2.0
# Built-in trainers and the plug-in loader. All arithmetic comes from worker/kernels through
# struct muster_math; -ffp-contract=off holds for the few scalars computed here.
noinst_LTLIBRARIES += %D%/libtrainers.la
%C%_libtrainers_la_SOURCES = \
    %D%/builtin.h %D%/loader.c %D%/loader.h %D%/settings.c %D%/settings.h \
    %D%/gpt.c %D%/gpt_model.h %D%/gpt_plan.c %D%/gpt_forward.c %D%/gpt_attention.c \
    %D%/gpt_backward.c %D%/mlp.c
%C%_libtrainers_la_CFLAGS = $(AM_CFLAGS) -ffp-contract=off

# The one header that a plug-in needs: #include <muster/trainer.h>
pkginclude_HEADERS += worker/trainer.h

mu_trainer_libraries = %D%/libtrainers.la worker/kernels/libkernels.la common/libcommon.la

if HAVE_CMOCKA
trainer_bed = tests/unit/trainer_bed.c tests/unit/trainer_bed.h
trainer_models = $(trainer_bed) tests/unit/trainer_models.c tests/unit/trainer_models.h \
    tests/unit/trainer_reference.c tests/unit/trainer_reference.h
trainer_test_flags = $(AM_CFLAGS) -ffp-contract=off
trainer_test_libs = $(mu_trainer_libraries) $(CMOCKA_LIBS) -lpthread -lm
unit_tests += tests/unit/test_trainers
tests_unit_test_trainers_SOURCES = tests/unit/test_trainers.c $(trainer_models)
tests_unit_test_trainers_CFLAGS = $(trainer_test_flags)
tests_unit_test_trainers_LDADD = $(trainer_test_libs)
unit_tests += tests/unit/test_trainers_bits
tests_unit_test_trainers_bits_SOURCES = tests/unit/test_trainers_bits.c $(trainer_models)
tests_unit_test_trainers_bits_CFLAGS = $(trainer_test_flags)
tests_unit_test_trainers_bits_LDADD = $(trainer_test_libs)
unit_tests += tests/unit/test_trainers_gradients
tests_unit_test_trainers_gradients_SOURCES = tests/unit/test_trainers_gradients.c $(trainer_models)
tests_unit_test_trainers_gradients_CFLAGS = $(trainer_test_flags)
tests_unit_test_trainers_gradients_LDADD = $(trainer_test_libs)
unit_tests += tests/unit/test_loader
tests_unit_test_loader_SOURCES = tests/unit/test_loader.c $(trainer_bed)
tests_unit_test_loader_CFLAGS = $(trainer_test_flags)
tests_unit_test_loader_LDADD = $(trainer_test_libs)
endif

# The same gradients in PyTorch, float64; skips where it is not installed.
check_PROGRAMS += tests/gradients/dump_gradients
tests_gradients_dump_gradients_SOURCES = tests/gradients/dump_gradients.c \
    tests/unit/trainer_bed.c tests/unit/trainer_bed.h
tests_gradients_dump_gradients_LDADD = $(mu_trainer_libraries) -lpthread -lm
TESTS += tests/gradients/check_torch.py
EXTRA_DIST += tests/gradients/check_torch.py

# Not run by `make check`.
EXTRA_PROGRAMS += tests/bench/bench_gpt
tests_bench_bench_gpt_SOURCES = tests/bench/bench_gpt.c tests/unit/trainer_bed.c \
    tests/unit/trainer_bed.h
tests_bench_bench_gpt_LDADD = $(mu_trainer_libraries) -lpthread -lm
