# Tests speak TAP, so that every case counts. What needs more than this machine has says SKIP and why.
LOG_DRIVER = env AM_TAP_AWK='$(AWK)' $(SHELL) $(top_srcdir)/config/tap-driver.sh
AM_TESTS_ENVIRONMENT = CMOCKA_MESSAGE_OUTPUT=TAP; export CMOCKA_MESSAGE_OUTPUT; \
    top_srcdir='$(abs_top_srcdir)'; export top_srcdir; top_builddir='$(abs_top_builddir)'; export top_builddir; \
    MUSTER_LIBEXECDIR='$(abs_top_builddir)'; export MUSTER_LIBEXECDIR;

# First: it takes longest, and runs on one core.
include tests/sim/local.mk

TESTS += %D%/unit/schema_lock.sh
EXTRA_DIST += %D%/unit/schema_lock.sh scripts/lock_schemas.py schemas/golden/wire-1.lock \
    schemas/golden/journal-1.lock schemas/golden/recording-1.lock schemas/golden/wire-1.hex schemas/golden/journal-1.hex schemas/golden/recording-1.hex

if HAVE_CMOCKA
check_PROGRAMS += %D%/unit/test_record %D%/unit/test_store %D%/unit/test_log %D%/unit/test_socket %D%/unit/test_turn %D%/unit/test_pace %D%/unit/test_preempt %D%/unit/test_trust
TESTS += %D%/unit/test_record %D%/unit/test_store %D%/unit/test_log %D%/unit/test_socket %D%/unit/test_turn %D%/unit/test_pace %D%/unit/test_preempt %D%/unit/test_trust
check_PROGRAMS += %D%/unit/test_poison %D%/unit/test_audit
TESTS += %D%/unit/test_poison %D%/unit/test_audit

%C%_unit_test_poison_SOURCES = %D%/unit/test_poison.c
%C%_unit_test_poison_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/coordinator
%C%_unit_test_poison_LDADD = coordinator/libcoord.la common/libcommon.la $(CMOCKA_LIBS) $(MSGPACK_LIBS)

%C%_unit_test_record_SOURCES = %D%/unit/test_record.c
%C%_unit_test_record_CPPFLAGS = $(AM_CPPFLAGS) $(JANSSON_CFLAGS)
%C%_unit_test_record_LDADD = common/libcommon.la $(CMOCKA_LIBS) $(JANSSON_LIBS) $(MSGPACK_LIBS)

%C%_unit_test_store_SOURCES = %D%/unit/test_store.c
%C%_unit_test_store_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/coordinator $(SQLITE_CFLAGS)
%C%_unit_test_store_LDADD = coordinator/libstore.la coordinator/libcoord.la common/libcommon.la $(CMOCKA_LIBS) $(SQLITE_LIBS) $(MSGPACK_LIBS)

# The same store on a disk whose power is cut; its SQL passes the test, which weakens it to see that this is noticed.
check_PROGRAMS += %D%/unit/test_power
TESTS += %D%/unit/test_power
%C%_unit_test_power_SOURCES = %D%/unit/test_power.c %D%/unit/power_vfs.c %D%/unit/power_vfs.h
%C%_unit_test_power_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/coordinator -I$(top_builddir)/coordinator $(SQLITE_CFLAGS)
%C%_unit_test_power_LDFLAGS = -Wl,--wrap=sqlite3_exec -Wl,--wrap=fsync
%C%_unit_test_power_LDADD = coordinator/libstore.la coordinator/libcoord.la common/libcommon.la $(CMOCKA_LIBS) $(SQLITE_LIBS) $(MSGPACK_LIBS)

%C%_unit_test_log_SOURCES = %D%/unit/test_log.c
%C%_unit_test_log_CPPFLAGS = $(AM_CPPFLAGS) $(JANSSON_CFLAGS)
%C%_unit_test_log_LDADD = common/libcommon.la $(CMOCKA_LIBS) $(JANSSON_LIBS) -lpthread

%C%_unit_test_socket_SOURCES = %D%/unit/test_socket.c coordinator/io_socket.c coordinator/io_socket.h \
    coordinator/io_door.c coordinator/io_door.h
%C%_unit_test_socket_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/coordinator $(ZMQ_CFLAGS)
%C%_unit_test_socket_LDADD = common/libcommon.la $(CMOCKA_LIBS) $(ZMQ_LIBS)

%C%_unit_test_turn_SOURCES = %D%/unit/test_turn.c coordinator/io_outbox.c coordinator/io_outbox.h \
    coordinator/io_turn.c coordinator/io_turn.h \
    coordinator/io_announce.c coordinator/io_announce.h
%C%_unit_test_turn_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/coordinator
%C%_unit_test_turn_LDADD = common/libcommon.la $(CMOCKA_LIBS) $(MSGPACK_LIBS) -lpthread

%C%_unit_test_pace_SOURCES = %D%/unit/test_pace.c
%C%_unit_test_pace_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/coordinator
%C%_unit_test_pace_LDADD = coordinator/libcoord.la common/libcommon.la $(CMOCKA_LIBS) $(MSGPACK_LIBS)

%C%_unit_test_audit_SOURCES = %D%/unit/test_audit.c %D%/unit/audit_bed.c %D%/unit/audit_bed.h
%C%_unit_test_audit_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/coordinator
%C%_unit_test_audit_LDADD = coordinator/libcoord.la common/libcommon.la $(CMOCKA_LIBS) $(MSGPACK_LIBS)

check_PROGRAMS += %D%/unit/test_absent
TESTS += %D%/unit/test_absent
%C%_unit_test_absent_SOURCES = %D%/unit/test_absent.c %D%/unit/audit_bed.c %D%/unit/audit_bed.h
%C%_unit_test_absent_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/coordinator
%C%_unit_test_absent_LDADD = coordinator/libcoord.la common/libcommon.la $(CMOCKA_LIBS) $(MSGPACK_LIBS)

check_PROGRAMS += %D%/unit/test_savers
TESTS += %D%/unit/test_savers
%C%_unit_test_savers_SOURCES = %D%/unit/test_savers.c %D%/unit/audit_bed.c %D%/unit/audit_bed.h
%C%_unit_test_savers_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/coordinator
%C%_unit_test_savers_LDADD = coordinator/libcoord.la common/libcommon.la $(CMOCKA_LIBS) $(MSGPACK_LIBS)

check_PROGRAMS += %D%/unit/test_orders
TESTS += %D%/unit/test_orders
%C%_unit_test_orders_SOURCES = %D%/unit/test_orders.c %D%/unit/job_bed.c %D%/unit/job_bed.h
%C%_unit_test_orders_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/coordinator
%C%_unit_test_orders_LDADD = coordinator/libcoord.la common/libcommon.la $(CMOCKA_LIBS) $(MSGPACK_LIBS)

check_PROGRAMS += %D%/unit/test_review
TESTS += %D%/unit/test_review
%C%_unit_test_review_SOURCES = %D%/unit/test_review.c %D%/unit/job_bed.c %D%/unit/job_bed.h
%C%_unit_test_review_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/coordinator
%C%_unit_test_review_LDADD = coordinator/libcoord.la common/libcommon.la $(CMOCKA_LIBS) $(MSGPACK_LIBS)

check_PROGRAMS += %D%/unit/test_fault
TESTS += %D%/unit/test_fault
%C%_unit_test_fault_SOURCES = %D%/unit/test_fault.c
%C%_unit_test_fault_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/coordinator
%C%_unit_test_fault_LDADD = worker/libagent.la coordinator/libcoord.la common/libcommon.la $(CMOCKA_LIBS) $(MSGPACK_LIBS)

%C%_unit_test_preempt_SOURCES = %D%/unit/test_preempt.c
%C%_unit_test_preempt_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/coordinator
%C%_unit_test_preempt_LDADD = coordinator/libcoord.la common/libcommon.la $(CMOCKA_LIBS) $(MSGPACK_LIBS)
%C%_unit_test_trust_SOURCES = %D%/unit/test_trust.c
%C%_unit_test_trust_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/coordinator
%C%_unit_test_trust_LDADD = coordinator/libcoord.la common/libcommon.la $(CMOCKA_LIBS) $(MSGPACK_LIBS)

check_PROGRAMS += %D%/unit/test_caspaxos
TESTS += %D%/unit/test_caspaxos
%C%_unit_test_caspaxos_SOURCES = %D%/unit/test_caspaxos.c
%C%_unit_test_caspaxos_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/coordinator
%C%_unit_test_caspaxos_LDADD = coordinator/libvote.la common/libcommon.la $(CMOCKA_LIBS) $(MSGPACK_LIBS)

check_PROGRAMS += %D%/unit/test_acceptor
TESTS += %D%/unit/test_acceptor
%C%_unit_test_acceptor_SOURCES = %D%/unit/test_acceptor.c coordinator/io_acceptor.c coordinator/io_acceptor.h \
    coordinator/io_files.c coordinator/io_files.h
%C%_unit_test_acceptor_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/coordinator
%C%_unit_test_acceptor_LDADD = coordinator/libvote.la common/libcommon.la $(CMOCKA_LIBS) $(MSGPACK_LIBS) $(JANSSON_LIBS)

EXTRA_DIST += %D%/system/fake_kubernetes.py
check_PROGRAMS += %D%/unit/test_register
TESTS += %D%/unit/test_register
%C%_unit_test_register_SOURCES = %D%/unit/test_register.c $(register_sources) \
    coordinator/io_files.c coordinator/io_files.h
%C%_unit_test_register_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/coordinator $(ZMQ_CFLAGS)
%C%_unit_test_register_LDADD = coordinator/libvote.la common/libcommon.la $(CMOCKA_LIBS) $(ZMQ_LIBS) \
    $(MSGPACK_LIBS) -lpthread
if HAVE_CURL
EXTRA_%C%_unit_test_register_DEPENDENCIES = muster-lease.so
endif

check_PROGRAMS += %D%/unit/test_recording
TESTS += %D%/unit/test_recording
%C%_unit_test_recording_SOURCES = %D%/unit/test_recording.c coordinator/io_recorder.c coordinator/io_recorder.h
%C%_unit_test_recording_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/coordinator
%C%_unit_test_recording_LDADD = coordinator/librecording.la coordinator/libcoord.la common/libcommon.la \
    $(CMOCKA_LIBS) $(MSGPACK_LIBS) -lpthread

check_PROGRAMS += %D%/unit/test_compact
TESTS += %D%/unit/test_compact
%C%_unit_test_compact_SOURCES = %D%/unit/test_compact.c
%C%_unit_test_compact_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/coordinator $(SQLITE_CFLAGS)
%C%_unit_test_compact_LDADD = coordinator/libstore.la coordinator/libcoord.la common/libcommon.la \
    $(CMOCKA_LIBS) $(SQLITE_LIBS) $(MSGPACK_LIBS)

check_PROGRAMS += %D%/unit/test_hang
TESTS += %D%/unit/test_hang
%C%_unit_test_hang_SOURCES = %D%/unit/test_hang.c %D%/unit/job_bed.c %D%/unit/job_bed.h
%C%_unit_test_hang_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/coordinator
%C%_unit_test_hang_LDADD = coordinator/libcoord.la common/libcommon.la $(CMOCKA_LIBS) $(MSGPACK_LIBS)

check_PROGRAMS += %D%/unit/test_lease
TESTS += %D%/unit/test_lease
%C%_unit_test_lease_SOURCES = %D%/unit/test_lease.c %D%/unit/job_bed.c %D%/unit/job_bed.h
%C%_unit_test_lease_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/coordinator
%C%_unit_test_lease_LDADD = coordinator/libcoord.la common/libcommon.la $(CMOCKA_LIBS) $(MSGPACK_LIBS)

check_PROGRAMS += %D%/unit/test_reign
TESTS += %D%/unit/test_reign
%C%_unit_test_reign_SOURCES = %D%/unit/test_reign.c
%C%_unit_test_reign_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/coordinator
%C%_unit_test_reign_LDADD = coordinator/libcoord.la common/libcommon.la $(CMOCKA_LIBS) $(MSGPACK_LIBS)
check_PROGRAMS += %D%/unit/test_unsound
TESTS += %D%/unit/test_unsound
%C%_unit_test_unsound_SOURCES = %D%/unit/test_unsound.c %D%/unit/job_bed.c %D%/unit/job_bed.h
%C%_unit_test_unsound_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/coordinator
%C%_unit_test_unsound_LDADD = coordinator/libcoord.la common/libcommon.la $(CMOCKA_LIBS) $(MSGPACK_LIBS)
check_PROGRAMS += %D%/unit/test_damage
TESTS += %D%/unit/test_damage
%C%_unit_test_damage_SOURCES = %D%/unit/test_damage.c %D%/fuzz/fuzz_journal.c
%C%_unit_test_damage_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/coordinator -I$(top_srcdir)/client
%C%_unit_test_damage_LDADD = coordinator/libcoord.la client/libledger.la common/libcommon.la $(CMOCKA_LIBS) $(MSGPACK_LIBS)

check_PROGRAMS += %D%/unit/test_blank
TESTS += %D%/unit/test_blank
%C%_unit_test_blank_SOURCES = %D%/unit/test_blank.c %D%/unit/job_bed.c %D%/unit/job_bed.h
%C%_unit_test_blank_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/coordinator
%C%_unit_test_blank_LDADD = coordinator/libcoord.la common/libcommon.la $(CMOCKA_LIBS) $(MSGPACK_LIBS)

check_PROGRAMS += %D%/unit/test_late
TESTS += %D%/unit/test_late
%C%_unit_test_late_SOURCES = %D%/unit/test_late.c %D%/unit/job_bed.c %D%/unit/job_bed.h
%C%_unit_test_late_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/coordinator
%C%_unit_test_late_LDADD = coordinator/libcoord.la common/libcommon.la $(CMOCKA_LIBS) $(MSGPACK_LIBS)
endif

# Whole systems: real processes on this machine, python3's standard library.
check_PROGRAMS += %D%/system/host_switch
%C%_system_host_switch_SOURCES = %D%/system/host_switch.c
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
    %D%/golden/database-1.db %D%/golden/database-2.db %D%/golden/database-3.db %D%/golden/database-4.db %D%/golden/database-5.db \
    %D%/golden/database-1.json %D%/golden/database-2.json %D%/golden/database-3.json %D%/golden/database-4.json %D%/golden/database-5.json
TESTS += %D%/system/test_line.py
EXTRA_DIST += %D%/system/test_line.py
TESTS += %D%/system/test_outage.py %D%/system/test_descriptors.py %D%/system/test_fault_points.py %D%/system/test_torture_coordinator.py
EXTRA_DIST += %D%/system/test_outage.py %D%/system/test_descriptors.py %D%/system/test_torture_coordinator.py %D%/system/test_fault_points.py %D%/system/fault_points.py %D%/system/fault_points.c
TESTS += %D%/system/test_fault.py
EXTRA_DIST += %D%/system/test_fault.py
TESTS += %D%/system/test_jobs.py %D%/system/test_client.py %D%/system/test_library.py %D%/system/test_same_bits.py %D%/system/test_features.py %D%/system/torture.py %D%/system/test_bad_input.py %D%/system/test_bad_surroundings.py %D%/system/test_ledger.py %D%/system/test_hangs.py %D%/system/test_poison.py %D%/system/test_audits.py %D%/system/test_unsound.py %D%/system/test_preempt.py
EXTRA_DIST += examples/client/submit.c %D%/system/test_library.py \
    %D%/system/cluster.py %D%/system/test_jobs.py %D%/system/test_client.py %D%/system/test_same_bits.py %D%/system/test_features.py \
    %D%/system/torture.py scripts/torture \
    %D%/system/test_bad_input.py %D%/system/test_bad_surroundings.py %D%/system/test_ledger.py %D%/system/test_hangs.py %D%/system/test_poison.py %D%/system/test_audits.py %D%/system/test_unsound.py %D%/system/test_preempt.py %D%/system/bad_trainer.c
include tests/fuzz/local.mk
include tests/bench/local.mk
