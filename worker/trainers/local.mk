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
