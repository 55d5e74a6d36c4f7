# What every program shares: errors, records (wire and journal), logs; and what schemas/ generates.
noinst_LTLIBRARIES += %D%/libcommon.la
%C%_libcommon_la_SOURCES = %D%/clock.h %D%/behind.h %D%/dial.h %D%/fnv.h %D%/mix.h %D%/error.c %D%/error.h %D%/text.c %D%/text.h %D%/record.c %D%/record.h %D%/record_hash.c %D%/log.c %D%/log.h \
    %D%/companion.c %D%/companion.h %D%/cpus.c %D%/cpus.h %D%/fault.c %D%/fault.h %D%/passing.c %D%/passing.h %D%/process.c %D%/process.h %D%/quota.c %D%/quota.h %D%/resolve.c %D%/resolve.h
nodist_%C%_libcommon_la_SOURCES = %D%/errors.c %D%/wire_shapes.c %D%/journal_shapes.c %D%/recording_shapes.c %D%/states.c \
    %D%/metrics.c
%C%_libcommon_la_CPPFLAGS = $(AM_CPPFLAGS) $(JANSSON_CFLAGS) $(YAML_CFLAGS)
%C%_libcommon_la_LIBADD = $(MSGPACK_LIBS) $(JANSSON_LIBS) $(YAML_LIBS)

BUILT_SOURCES += %D%/errors.h %D%/wire.h %D%/journal.h %D%/recording.h %D%/states.h %D%/metrics.h
CLEANFILES += %D%/errors.h %D%/errors.c %D%/errors.md %D%/wire.h %D%/wire_shapes.c %D%/wire.md \
    %D%/muster_info.h %D%/journal.h %D%/journal_shapes.c %D%/journal.md \
    %D%/recording.h %D%/recording_shapes.c %D%/recording.md %D%/states.h %D%/states.c %D%/states.md \
    %D%/metrics.h %D%/metrics.c %D%/metrics.md

%D%/errors.c: schemas/errors.schema scripts/gen_errors.py scripts/schema.py
	$(AM_V_GEN)$(MKDIR_P) %D% && $(PYTHON) $(srcdir)/scripts/gen_errors.py $(srcdir)/schemas/errors.schema %D%
%D%/errors.h: %D%/errors.c
%D%/wire_shapes.c: schemas/wire.schema scripts/gen_records.py scripts/schema.py
	$(AM_V_GEN)$(MKDIR_P) %D% && $(PYTHON) $(srcdir)/scripts/gen_records.py $(srcdir)/schemas/wire.schema wire %D%
%D%/wire.h: %D%/wire_shapes.c
%D%/muster_info.h: %D%/wire_shapes.c
%D%/journal_shapes.c: schemas/journal.schema scripts/gen_records.py scripts/schema.py
	$(AM_V_GEN)$(MKDIR_P) %D% && $(PYTHON) $(srcdir)/scripts/gen_records.py $(srcdir)/schemas/journal.schema journal %D%
%D%/journal.h: %D%/journal_shapes.c
%D%/recording_shapes.c: schemas/recording.schema scripts/gen_records.py scripts/schema.py
	$(AM_V_GEN)$(MKDIR_P) %D% && $(PYTHON) $(srcdir)/scripts/gen_records.py $(srcdir)/schemas/recording.schema recording %D%
%D%/recording.h: %D%/recording_shapes.c
%D%/states.c: schemas/states.schema scripts/gen_states.py scripts/schema.py
	$(AM_V_GEN)$(MKDIR_P) %D% && $(PYTHON) $(srcdir)/scripts/gen_states.py $(srcdir)/schemas/states.schema %D%
%D%/states.h: %D%/states.c
%D%/metrics.c: schemas/metrics.schema scripts/gen_metrics.py scripts/schema.py
	$(AM_V_GEN)$(MKDIR_P) %D% && $(PYTHON) $(srcdir)/scripts/gen_metrics.py $(srcdir)/schemas/metrics.schema %D%
%D%/metrics.h: %D%/metrics.c

include common/jobspec.mk
include common/options.mk
