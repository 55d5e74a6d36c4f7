# libmuster (the public C API) and the muster command, which is built on it.
lib_LTLIBRARIES += %D%/libmuster.la
include_HEADERS += %D%/muster.h
pkgconfigdir = $(libdir)/pkgconfig
pkgconfig_DATA = %D%/muster.pc
nodist_pkginclude_HEADERS = %D%/include/muster/muster_info.h
EXTRA_DIST += %D%/libmuster.map

%C%_libmuster_la_SOURCES = %D%/libmuster.c %D%/muster.h %D%/connect.c %D%/connect.h
%C%_libmuster_la_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_builddir)/%D%/include $(ZMQ_CFLAGS)
%C%_libmuster_la_LDFLAGS = $(AM_LDFLAGS) -version-info 0:0:0 -Wl,--version-script=$(top_srcdir)/%D%/libmuster.map
%C%_libmuster_la_DEPENDENCIES = common/libcommon.la $(top_srcdir)/%D%/libmuster.map
%C%_libmuster_la_LIBADD = common/libcommon.la $(ZMQ_LIBS) $(JANSSON_LIBS) $(MSGPACK_LIBS)

BUILT_SOURCES += %D%/include/muster/muster_info.h
CLEANFILES += %D%/include/muster/muster_info.h
%D%/include/muster/muster_info.h: common/muster_info.h
	$(AM_V_GEN)$(MKDIR_P) %D%/include/muster && cp common/muster_info.h $@

# The checker of `muster ledger`, which the simulator uses too.
noinst_LTLIBRARIES += %D%/libledger.la
%C%_libledger_la_SOURCES = %D%/ledger.c %D%/ledger.h %D%/ledger_form.c %D%/ledger_history.c %D%/ledger_kept.c

bin_PROGRAMS += muster
muster_SOURCES = %D%/main.c %D%/command.h %D%/jobs.c %D%/lists.c %D%/watch.c %D%/up.c %D%/output.c %D%/output.h \
    %D%/admin.c %D%/sample.c %D%/data.c %D%/fault.c %D%/metrics.c %D%/coordinators.c %D%/libmuster.c \
    %D%/connect.c %D%/connect.h \
    %D%/ledger_command.c %D%/ledger_order.c %D%/ledger_print.c %D%/ledger_print.h
muster_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/%D% -I$(top_builddir)/%D%/include $(ZMQ_CFLAGS) $(JANSSON_CFLAGS)
muster_LDADD = %D%/libledger.la coordinator/libstore.la coordinator/libcoord.la worker/libsample.la worker/data/libdata.la common/libcommon.la \
    $(ZMQ_LIBS) $(SQLITE_LIBS) $(JANSSON_LIBS) $(MSGPACK_LIBS)

if HAVE_CMOCKA
ledger_bed = tests/unit/ledger_bed.c tests/unit/ledger_bed.h
unit_tests += tests/unit/test_ledger
tests_unit_test_ledger_SOURCES = tests/unit/test_ledger.c $(ledger_bed)
unit_tests += tests/unit/test_ledger_wrong
tests_unit_test_ledger_wrong_SOURCES = tests/unit/test_ledger_wrong.c $(ledger_bed)
unit_tests += tests/unit/test_ledger_order
tests_unit_test_ledger_order_SOURCES = tests/unit/test_ledger_order.c %D%/ledger_order.c
tests_unit_test_ledger_order_LDADD = worker/data/libdata.la common/libcommon.la $(CMOCKA_LIBS)
endif
