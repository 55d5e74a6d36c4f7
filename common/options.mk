# options.mk - options of every program: schemas/config.schema is the only place to change them
%C%_options_sources = %D%/options.c %D%/options.h %D%/options_parts.h %D%/options_config.c \
    %D%/options_help.c
%C%_options_generated = %D%/options_table.c %D%/options_table.h
%C%_options_manuals = %D%/muster.1 %D%/muster-coordinator.8 %D%/muster-worker.8 %D%/muster-replay.1
%C%_options_completions = %D%/muster.bash %D%/muster-coordinator.bash %D%/muster-worker.bash \
    %D%/muster-replay.bash
%C%_options_pages = %D%/options.md $(%C%_options_completions)

%C%_libcommon_la_SOURCES += $(%C%_options_sources)
nodist_%C%_libcommon_la_SOURCES += $(%C%_options_generated)
BUILT_SOURCES += $(%C%_options_generated)
CLEANFILES += $(%C%_options_generated) $(%C%_options_manuals) $(%C%_options_pages)
EXTRA_DIST += schemas/config.schema scripts/gen_options.py docs/man/muster.1.in \
    docs/man/muster-coordinator.8.in docs/man/muster-worker.8.in docs/man/muster-replay.1.in

%D%/options_table.c: schemas/config.schema schemas/errors.schema scripts/gen_options.py \
    scripts/entries.py scripts/gen_errors.py docs/man/muster.1.in \
    docs/man/muster-coordinator.8.in docs/man/muster-worker.8.in docs/man/muster-replay.1.in
	$(AM_V_GEN)$(MKDIR_P) %D% && $(PYTHON) $(srcdir)/scripts/gen_options.py \
	    $(srcdir)/schemas/config.schema $(srcdir)/schemas/errors.schema $(srcdir)/docs/man \
	    $(VERSION) %D%
%D%/options_table.h $(%C%_options_manuals) $(%C%_options_pages): %D%/options_table.c

nodist_man_MANS += $(%C%_options_manuals)

nodist_bashcomp_DATA = $(%C%_options_completions)

if HAVE_CMOCKA
unit_tests += tests/unit/test_options
endif

EXTRA_DIST += tests/fuzz/corpus/options
if FUZZING
noinst_PROGRAMS += tests/fuzz/fuzz_options
tests_fuzz_fuzz_options_SOURCES = tests/fuzz/fuzz_options.c
tests_fuzz_fuzz_options_LDADD = %D%/libcommon.la
tests_fuzz_fuzz_options_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
endif
