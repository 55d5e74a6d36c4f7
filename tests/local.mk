# Tests speak TAP, so that every case counts. What needs more than this machine has says SKIP and why.
LOG_DRIVER = env AM_TAP_AWK='$(AWK)' $(SHELL) $(top_srcdir)/config/tap-driver.sh
LOG_COMPILER = $(top_srcdir)/%D%/tap.sh
AM_TESTS_ENVIRONMENT = CMOCKA_MESSAGE_OUTPUT=TAP; export CMOCKA_MESSAGE_OUTPUT; \
    top_srcdir='$(abs_top_srcdir)'; export top_srcdir; top_builddir='$(abs_top_builddir)'; export top_builddir; \
    MUSTER_LIBEXECDIR='$(abs_top_builddir)'; export MUSTER_LIBEXECDIR;

# First: it takes longest, and runs on one core.
include tests/sim/local.mk

TESTS += %D%/unit/schema_lock.sh %D%/unit/completion.sh %D%/unit/test_documents.py
EXTRA_DIST += %D%/tap.sh %D%/unit/schema_lock.sh %D%/unit/completion.sh %D%/unit/test_documents.py scripts/lock_schemas.py schemas/golden/wire-1.lock \
    schemas/golden/journal-1.lock schemas/golden/recording-1.lock schemas/golden/wire-1.hex schemas/golden/journal-1.hex schemas/golden/recording-1.hex

if HAVE_CMOCKA
# A unit test is one line: tests/unit/NAME.c, linked with LDADD. What else it needs stands below it, such as
# a bed that several share. Those of the worker and of the client stand beside what they test.
LDADD = coordinator/librecording.la coordinator/libvote.la coordinator/libcoord.la worker/libagent.la \
    client/libledger.la common/libcommon.la $(CMOCKA_LIBS) -lpthread
audit_bed = %D%/unit/audit_bed.c %D%/unit/audit_bed.h
job_bed = %D%/unit/job_bed.c %D%/unit/job_bed.h

unit_tests += %D%/unit/test_fault
unit_tests += %D%/unit/test_clock
unit_tests += %D%/unit/test_namesakes
unit_tests += %D%/unit/test_pace
unit_tests += %D%/unit/test_poison
unit_tests += %D%/unit/test_preempt
unit_tests += %D%/unit/test_reign
unit_tests += %D%/unit/test_trust
%C%_unit_test_trust_SOURCES = %D%/unit/test_trust.c $(job_bed)

# Stories of a job's three workers, and of two that differ.
unit_tests += %D%/unit/test_blank
%C%_unit_test_blank_SOURCES = %D%/unit/test_blank.c $(job_bed)
unit_tests += %D%/unit/test_hang
%C%_unit_test_hang_SOURCES = %D%/unit/test_hang.c $(job_bed)
unit_tests += %D%/unit/test_loss
%C%_unit_test_loss_SOURCES = %D%/unit/test_loss.c $(job_bed)
unit_tests += %D%/unit/test_late
%C%_unit_test_late_SOURCES = %D%/unit/test_late.c $(job_bed)
unit_tests += %D%/unit/test_lease
%C%_unit_test_lease_SOURCES = %D%/unit/test_lease.c $(job_bed)
unit_tests += %D%/unit/test_orders
%C%_unit_test_orders_SOURCES = %D%/unit/test_orders.c $(job_bed)
unit_tests += %D%/unit/test_behind
%C%_unit_test_behind_SOURCES = %D%/unit/test_behind.c $(job_bed)
unit_tests += %D%/unit/test_halt
%C%_unit_test_halt_SOURCES = %D%/unit/test_halt.c $(job_bed)
unit_tests += %D%/unit/test_remembered
%C%_unit_test_remembered_SOURCES = %D%/unit/test_remembered.c $(job_bed)
%C%_unit_test_remembered_LDFLAGS = -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=free
unit_tests += %D%/unit/test_review
%C%_unit_test_review_SOURCES = %D%/unit/test_review.c $(job_bed)
unit_tests += %D%/unit/test_restart
%C%_unit_test_restart_SOURCES = %D%/unit/test_restart.c $(job_bed)
unit_tests += %D%/unit/test_missing
%C%_unit_test_missing_SOURCES = %D%/unit/test_missing.c $(job_bed)
unit_tests += %D%/unit/test_overdue
%C%_unit_test_overdue_SOURCES = %D%/unit/test_overdue.c $(job_bed)
unit_tests += %D%/unit/test_doubt
%C%_unit_test_doubt_SOURCES = %D%/unit/test_doubt.c $(job_bed)
unit_tests += %D%/unit/test_unsound
%C%_unit_test_unsound_SOURCES = %D%/unit/test_unsound.c $(job_bed)
unit_tests += %D%/unit/test_apart
%C%_unit_test_apart_SOURCES = %D%/unit/test_apart.c $(job_bed)
unit_tests += %D%/unit/test_absent
%C%_unit_test_absent_SOURCES = %D%/unit/test_absent.c $(audit_bed)
unit_tests += %D%/unit/test_audit
%C%_unit_test_audit_SOURCES = %D%/unit/test_audit.c $(audit_bed)
unit_tests += %D%/unit/test_savers
%C%_unit_test_savers_SOURCES = %D%/unit/test_savers.c $(audit_bed)
unit_tests += %D%/unit/test_keep
%C%_unit_test_keep_SOURCES = %D%/unit/test_keep.c $(audit_bed)

# What is common to all programs.
unit_tests += %D%/unit/test_cpus
unit_tests += %D%/unit/test_quota
unit_tests += %D%/unit/test_log
%C%_unit_test_log_CPPFLAGS = $(AM_CPPFLAGS) $(JANSSON_CFLAGS)
unit_tests += %D%/unit/test_record
%C%_unit_test_record_CPPFLAGS = $(AM_CPPFLAGS) $(JANSSON_CFLAGS)

# scripts/mutants builds it by itself, where the vote's sources lie beside it.
unit_tests += %D%/unit/test_caspaxos
%C%_unit_test_caspaxos_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/coordinator

unit_tests += %D%/unit/test_damage
%C%_unit_test_damage_SOURCES = %D%/unit/test_damage.c %D%/fuzz/fuzz_journal.c

# The coordinator's database.
unit_tests += %D%/unit/test_compact
%C%_unit_test_compact_SOURCES = %D%/unit/test_compact.c %D%/unit/compact_bed.c %D%/unit/compact_bed.h
%C%_unit_test_compact_CPPFLAGS = $(AM_CPPFLAGS) $(SQLITE_CFLAGS)
%C%_unit_test_compact_LDADD = coordinator/libstore.la $(LDADD) $(SQLITE_LIBS)
%C%_unit_test_compact_LDFLAGS = -Wl,--wrap=malloc_trim
unit_tests += %D%/unit/test_forget
%C%_unit_test_forget_SOURCES = %D%/unit/test_forget.c %D%/unit/compact_bed.c %D%/unit/compact_bed.h
%C%_unit_test_forget_CPPFLAGS = $(AM_CPPFLAGS) $(SQLITE_CFLAGS)
%C%_unit_test_forget_LDADD = coordinator/libstore.la $(LDADD) $(SQLITE_LIBS)
unit_tests += %D%/unit/test_store
%C%_unit_test_store_SOURCES = %D%/unit/test_store.c %D%/unit/store_bed.c %D%/unit/store_bed.h
%C%_unit_test_store_CPPFLAGS = $(AM_CPPFLAGS) $(SQLITE_CFLAGS)
%C%_unit_test_store_LDADD = coordinator/libstore.la $(LDADD) $(SQLITE_LIBS)
unit_tests += %D%/unit/test_key
%C%_unit_test_key_CPPFLAGS = $(AM_CPPFLAGS) $(SQLITE_CFLAGS)
%C%_unit_test_key_LDADD = coordinator/libstore.la $(LDADD) $(SQLITE_LIBS)
unit_tests += %D%/unit/test_store_open
%C%_unit_test_store_open_SOURCES = %D%/unit/test_store_open.c %D%/unit/store_bed.c %D%/unit/store_bed.h
%C%_unit_test_store_open_CPPFLAGS = $(AM_CPPFLAGS) $(SQLITE_CFLAGS)
%C%_unit_test_store_open_LDADD = coordinator/libstore.la $(LDADD) $(SQLITE_LIBS)
unit_tests += %D%/unit/test_store_trouble
%C%_unit_test_store_trouble_SOURCES = %D%/unit/test_store_trouble.c %D%/unit/store_bed.c %D%/unit/store_bed.h
%C%_unit_test_store_trouble_CPPFLAGS = $(AM_CPPFLAGS) $(SQLITE_CFLAGS)
%C%_unit_test_store_trouble_LDADD = coordinator/libstore.la $(LDADD) $(SQLITE_LIBS)

# The same store on a disk whose power is cut; its SQL passes the test, which weakens it to see that this is noticed.
unit_tests += %D%/unit/test_power
%C%_unit_test_power_SOURCES = %D%/unit/test_power.c %D%/unit/power_vfs.c %D%/unit/power_vfs.h
%C%_unit_test_power_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_builddir)/coordinator $(SQLITE_CFLAGS)
%C%_unit_test_power_LDFLAGS = -Wl,--wrap=sqlite3_exec -Wl,--wrap=fsync
%C%_unit_test_power_LDADD = coordinator/libstore.la $(LDADD) $(SQLITE_LIBS)

# Parts of the coordinator's shell, which is no library.
unit_tests += %D%/unit/test_acceptor
%C%_unit_test_acceptor_SOURCES = %D%/unit/test_acceptor.c coordinator/io_acceptor.c coordinator/io_acceptor.h \
    coordinator/io_files.c coordinator/io_files.h

unit_tests += %D%/unit/test_recording
%C%_unit_test_recording_SOURCES = %D%/unit/test_recording.c coordinator/io_recorder.c coordinator/io_recorder.h

# The register of who reigns, on each of its three grounds.
EXTRA_DIST += %D%/system/fake_kubernetes.py
check_LTLIBRARIES = %D%/unit/libregister.la
%C%_unit_libregister_la_SOURCES = %D%/unit/register_bed.c %D%/unit/register_bed.h $(register_sources) \
    coordinator/io_files.c coordinator/io_files.h
%C%_unit_libregister_la_CPPFLAGS = $(AM_CPPFLAGS) $(ZMQ_CFLAGS)
%C%_unit_libregister_la_LIBADD = $(ZMQ_LIBS)
unit_tests += %D%/unit/test_register
%C%_unit_test_register_LDADD = %D%/unit/libregister.la $(LDADD)
unit_tests += %D%/unit/test_register_file
%C%_unit_test_register_file_LDADD = %D%/unit/libregister.la $(LDADD)
unit_tests += %D%/unit/test_register_lease
%C%_unit_test_register_lease_LDADD = %D%/unit/libregister.la $(LDADD)
unit_tests += %D%/unit/test_register_majority
%C%_unit_test_register_majority_LDADD = %D%/unit/libregister.la $(LDADD)
if HAVE_CURL
EXTRA_%C%_unit_test_register_DEPENDENCIES = muster-lease.so
EXTRA_%C%_unit_test_register_lease_DEPENDENCIES = muster-lease.so
endif

unit_tests += %D%/unit/test_socket
%C%_unit_test_socket_SOURCES = %D%/unit/test_socket.c coordinator/io_socket.c coordinator/io_socket.h \
    coordinator/io_door.c coordinator/io_door.h
%C%_unit_test_socket_CPPFLAGS = $(AM_CPPFLAGS) $(ZMQ_CFLAGS)
%C%_unit_test_socket_LDADD = $(LDADD) $(ZMQ_LIBS)

unit_tests += %D%/unit/test_silent
%C%_unit_test_silent_SOURCES = %D%/unit/test_silent.c client/libmuster.c client/connect.c
%C%_unit_test_silent_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_builddir)/client/include $(ZMQ_CFLAGS)
%C%_unit_test_silent_LDADD = $(LDADD) $(ZMQ_LIBS) $(JANSSON_LIBS)

unit_tests += %D%/unit/test_output
%C%_unit_test_output_SOURCES = %D%/unit/test_output.c client/output.c client/output.h
%C%_unit_test_output_LDADD = $(LDADD) $(JANSSON_LIBS)

unit_tests += %D%/unit/test_turn
%C%_unit_test_turn_SOURCES = %D%/unit/test_turn.c coordinator/io_outbox.c coordinator/io_outbox.h \
    coordinator/io_turn.c coordinator/io_turn.h \
    coordinator/io_announce.c coordinator/io_announce.h

check_PROGRAMS += $(unit_tests)
TESTS += $(unit_tests)
endif

# Whole systems: real processes on this machine, python3's standard library.
check_PROGRAMS += %D%/system/host_switch
%C%_system_host_switch_SOURCES = %D%/system/host_switch.c
%C%_system_host_switch_LDADD =
TESTS += %D%/system/test_hosts.py %D%/system/test_traps.py
EXTRA_DIST += %D%/system/hosts.py %D%/system/test_hosts.py %D%/system/test_traps.py
check_PROGRAMS += %D%/system/liar
%C%_system_liar_SOURCES = %D%/system/liar.c %D%/sim/lie.c %D%/sim/lie.h
%C%_system_liar_LDADD = common/libcommon.la $(ZMQ_LIBS) $(MSGPACK_LIBS)
TESTS += %D%/system/test_liars.py
EXTRA_DIST += %D%/system/test_liars.py
TESTS += %D%/system/test_replay.py %D%/system/test_standby.py %D%/system/test_torture_standby.py
EXTRA_DIST += %D%/system/test_replay.py %D%/system/test_standby.py %D%/system/test_torture_standby.py %D%/system/torture_standby.py %D%/system/crew.py
TESTS += %D%/system/test_admin.py
EXTRA_DIST += %D%/system/test_admin.py %D%/golden/make_database.py \
    %D%/golden/database-1.db %D%/golden/database-2.db %D%/golden/database-3.db %D%/golden/database-4.db %D%/golden/database-5.db %D%/golden/database-6.db %D%/golden/database-7.db \
    %D%/golden/database-1.json %D%/golden/database-2.json %D%/golden/database-3.json %D%/golden/database-4.json %D%/golden/database-5.json %D%/golden/database-6.json %D%/golden/database-7.json
TESTS += %D%/system/test_line.py
EXTRA_DIST += %D%/system/test_line.py
TESTS += %D%/system/torture_jobs.py
EXTRA_DIST += %D%/system/torture_jobs.py
check_PROGRAMS += %D%/system/offsets
%C%_system_offsets_SOURCES = %D%/system/offsets.c
%C%_system_offsets_LDADD =
TESTS += %D%/system/torture_memory.py
EXTRA_DIST += %D%/system/torture_memory.py %D%/system/memory.py
TESTS += %D%/system/test_outage.py %D%/system/test_descriptors.py %D%/system/test_fault_points.py %D%/system/test_torture_coordinator.py
EXTRA_DIST += %D%/system/test_outage.py %D%/system/test_descriptors.py %D%/system/test_torture_coordinator.py %D%/system/test_fault_points.py %D%/system/fault_points.py %D%/system/fault_points.c %D%/system/clock_points.c
TESTS += %D%/system/test_fault.py
EXTRA_DIST += %D%/system/test_fault.py
TESTS += %D%/system/test_jobs.py %D%/system/test_client.py %D%/system/test_library.py %D%/system/test_same_bits.py %D%/system/test_features.py %D%/system/torture.py %D%/system/test_bad_input.py %D%/system/test_bad_surroundings.py %D%/system/test_ledger.py %D%/system/test_hangs.py %D%/system/test_poison.py %D%/system/test_audits.py %D%/system/test_unsound.py %D%/system/test_preempt.py
EXTRA_DIST += examples/client/submit.c %D%/system/test_library.py \
    %D%/system/cluster.py %D%/system/test_jobs.py %D%/system/test_client.py %D%/system/test_same_bits.py %D%/system/test_features.py \
    %D%/system/torture.py scripts/torture \
    %D%/system/test_bad_input.py %D%/system/test_bad_surroundings.py %D%/system/test_ledger.py %D%/system/test_hangs.py %D%/system/test_poison.py %D%/system/test_audits.py %D%/system/test_unsound.py %D%/system/test_preempt.py %D%/system/bad_trainer.c
include tests/fuzz/local.mk
include tests/bench/local.mk
