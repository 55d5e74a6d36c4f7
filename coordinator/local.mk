# The coordinator: the pure core (core.mk) and the shell around it, whose files begin with io_.
include coordinator/core.mk

# The register that says who reigns: three places where it can lie.
register_sources = coordinator/io_register.c coordinator/io_register.h \
    coordinator/io_register_kinds.h coordinator/io_register_file.c coordinator/io_register_majority.c \
    coordinator/io_register_module.c coordinator/reign.h

# The third is a module that is loaded when it is named: libcurl brings thirty libraries. libtool makes it
# in .libs; it lies beside the programs, as when it is installed.
if HAVE_CURL
noinst_LTLIBRARIES += muster-lease.la
muster_lease_la_SOURCES = %D%/io_register_lease.c %D%/io_register_kinds.h %D%/lease_json.c %D%/lease_json.h \
    %D%/reign_text.c %D%/reign_text.h %D%/lines.c %D%/lines.h \
    %D%/io_files.c %D%/io_files.h common/error.c common/error.h common/text.c common/text.h
muster_lease_la_CPPFLAGS = $(AM_CPPFLAGS) $(JANSSON_CFLAGS) $(CURL_CFLAGS)
muster_lease_la_LDFLAGS = $(AM_LDFLAGS) -module -avoid-version -shared -rpath $(pkglibexecdir) \
    -export-symbols-regex '^muster_register_module$$'
muster_lease_la_LIBADD = $(JANSSON_LIBS) $(CURL_LIBS)
moduledir = $(pkglibexecdir)
module_DATA = muster-lease.so
CLEANFILES += muster-lease.so
muster-lease.so: muster-lease.la
	$(AM_V_GEN)cp .libs/$@ $@
endif

# The database: the coordinator's own, and what `muster admin` does to it.
noinst_LTLIBRARIES += %D%/libstore.la
%C%_libstore_la_SOURCES = %D%/io_backup.c %D%/io_backup.h %D%/io_check.c %D%/io_check.h %D%/io_compact.c %D%/io_compact.h \
    %D%/io_database.c %D%/io_database.h %D%/io_emptied.c %D%/io_emptied.h %D%/io_files.c %D%/io_files.h \
    %D%/io_batch.c %D%/io_batch.h %D%/io_key.c %D%/io_key.h %D%/io_rows.c %D%/io_rows.h %D%/io_several.c %D%/io_several.h %D%/io_store.c %D%/io_store.h %D%/io_views.c %D%/io_views.h
nodist_%C%_libstore_la_SOURCES = %D%/store_steps.h
%C%_libstore_la_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_builddir)/%D% $(SQLITE_CFLAGS)

sbin_PROGRAMS += muster-coordinator
muster_coordinator_SOURCES = %D%/main.c %D%/io_announce.c %D%/io_announce.h %D%/io_compactor.c %D%/io_compactor.h %D%/io_faults.c %D%/io_faults.h %D%/io_logs.c %D%/io_logs.h \
    %D%/io_metrics.c %D%/io_metrics.h %D%/io_loop.c %D%/io_loop.h %D%/io_recorder.c %D%/io_recorder.h \
    %D%/io_requests.c %D%/io_requests.h %D%/io_door.c %D%/io_door.h %D%/io_socket.c %D%/io_socket.h \
    %D%/io_turn.c %D%/io_turn.h %D%/io_wait.c %D%/io_wait.h \
    %D%/io_acceptor.c %D%/io_acceptor.h %D%/io_witness.c %D%/io_witness.h \
    $(register_sources) \
    %D%/io_follow.c %D%/io_follow.h %D%/io_lead.c %D%/io_lead.h %D%/io_peers.c %D%/io_peers.h %D%/io_reign.c %D%/io_reign.h \
    %D%/io_resign.c %D%/io_resign.h %D%/io_outbox.c %D%/io_outbox.h
muster_coordinator_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_builddir)/%D% $(ZMQ_CFLAGS) $(SQLITE_CFLAGS) $(JANSSON_CFLAGS)
muster_coordinator_LDADD = %D%/libstore.la %D%/librecording.la %D%/libvote.la %D%/libcoord.la common/libcommon.la \
    $(ZMQ_LIBS) $(SQLITE_LIBS) $(JANSSON_LIBS) $(MSGPACK_LIBS) -lpthread

BUILT_SOURCES += %D%/store_steps.h
CLEANFILES += %D%/store_steps.h
EXTRA_DIST += schemas/store.sql scripts/gen_store.py
%D%/store_steps.h: schemas/store.sql scripts/gen_store.py
	$(AM_V_GEN)$(MKDIR_P) %D% && $(PYTHON) $(srcdir)/scripts/gen_store.py $(srcdir)/schemas/store.sql %D%

# muster-replay: a recording, fed to the same core.
bin_PROGRAMS += muster-replay
muster_replay_SOURCES = %D%/replay.c %D%/replay.h %D%/replay_list.c %D%/replay_range.c %D%/replay_state.c \
    %D%/io_announce.c %D%/io_announce.h client/output.c client/output.h
muster_replay_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/client $(JANSSON_CFLAGS)
muster_replay_LDADD = %D%/librecording.la %D%/libcoord.la common/libcommon.la $(JANSSON_LIBS) $(MSGPACK_LIBS)
