# jobspec.mk - the job file: schemas/jobspec.schema is the only place to change its keys
%C%_jobspec_sources = %D%/entry.c %D%/entry.h %D%/entry_words.c %D%/number.c %D%/number.h %D%/nearest.c \
    %D%/nearest.h %D%/jobspec.c %D%/jobspec.h %D%/jobspec_parts.h %D%/jobspec_read.c \
    %D%/jobspec_check.c %D%/jobspec_problems.c %D%/jobspec_events.c %D%/jobspec_events.h %D%/jobspec_json.c
%C%_jobspec_generated = %D%/jobspec_table.c %D%/jobspec_table.h
%C%_jobspec_pages = %D%/jobspec.schema.json %D%/jobspec.md %D%/muster-job.5

%C%_libcommon_la_SOURCES += $(%C%_jobspec_sources)
nodist_%C%_libcommon_la_SOURCES += $(%C%_jobspec_generated)
%C%_libcommon_la_CPPFLAGS += $(YAML_CFLAGS)
%C%_libcommon_la_LIBADD += $(YAML_LIBS)
BUILT_SOURCES += $(%C%_jobspec_generated)
CLEANFILES += $(%C%_jobspec_generated) $(%C%_jobspec_pages)
EXTRA_DIST += schemas/jobspec.schema scripts/gen_jobspec.py scripts/entries.py \
    docs/man/muster-job.5.in

%D%/jobspec_table.c: schemas/jobspec.schema scripts/gen_jobspec.py scripts/entries.py \
    docs/man/muster-job.5.in
	$(AM_V_GEN)$(MKDIR_P) %D% && $(PYTHON) $(srcdir)/scripts/gen_jobspec.py \
	    $(srcdir)/schemas/jobspec.schema $(srcdir)/docs/man/muster-job.5.in $(VERSION) %D%
%D%/jobspec_table.h $(%C%_jobspec_pages): %D%/jobspec_table.c

nodist_man_MANS += %D%/muster-job.5

# For editors: $schema=PREFIX/share/muster/jobspec.schema.json
jobschemadir = $(pkgdatadir)
nodist_jobschema_DATA = %D%/jobspec.schema.json

jobexamplesdir = $(docdir)/examples
dist_jobexamples_DATA = examples/gpt-gcide.yaml examples/mlp-fashion.yaml

EXTRA_DIST += tests/unit/jobspec/bad.yaml tests/unit/jobspec/bad.txt tests/unit/test_jobspec_schema.py
if HAVE_CMOCKA
unit_tests += tests/unit/test_jobspec
tests_unit_test_jobspec_CPPFLAGS = $(AM_CPPFLAGS) -DSOURCE_DIR='"$(abs_top_srcdir)"'
tests_unit_test_jobspec_LDADD = $(LDADD) -lm
endif

# Skipped where Python has no jsonschema (apt-get install python3-jsonschema).
TESTS += tests/unit/test_jobspec_schema.py

EXTRA_DIST += tests/fuzz/corpus/jobspec
if FUZZING
noinst_PROGRAMS += tests/fuzz/fuzz_jobspec
tests_fuzz_fuzz_jobspec_SOURCES = tests/fuzz/fuzz_jobspec.c
tests_fuzz_fuzz_jobspec_LDADD = %D%/libcommon.la
tests_fuzz_fuzz_jobspec_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
endif
