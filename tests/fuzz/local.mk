# Fuzzing the wire and the journal; other fuzz targets are declared beside what they fuzz.
EXTRA_DIST += %D%/corpus/wire %D%/corpus/recording %D%/corpus/register scripts/fuzz
if FUZZING
noinst_PROGRAMS += %D%/fuzz_wire
%C%_fuzz_wire_SOURCES = %D%/fuzz_wire.c
%C%_fuzz_wire_CPPFLAGS = $(AM_CPPFLAGS) $(JANSSON_CFLAGS)
%C%_fuzz_wire_LDADD = common/libcommon.la $(MSGPACK_LIBS) $(JANSSON_LIBS)
%C%_fuzz_wire_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer

noinst_PROGRAMS += %D%/fuzz_register
%C%_fuzz_register_SOURCES = %D%/fuzz_register.c coordinator/lease_json.c coordinator/lease_json.h
%C%_fuzz_register_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/coordinator $(JANSSON_CFLAGS)
%C%_fuzz_register_LDADD = coordinator/libvote.la common/libcommon.la $(MSGPACK_LIBS) $(JANSSON_LIBS)
%C%_fuzz_register_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer

noinst_PROGRAMS += %D%/fuzz_journal
%C%_fuzz_journal_SOURCES = %D%/fuzz_journal.c
%C%_fuzz_journal_LDADD = coordinator/libcoord.la client/libledger.la common/libcommon.la $(MSGPACK_LIBS)
%C%_fuzz_journal_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer

noinst_PROGRAMS += %D%/fuzz_recording
%C%_fuzz_recording_SOURCES = %D%/fuzz_recording.c
%C%_fuzz_recording_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/coordinator
%C%_fuzz_recording_LDADD = coordinator/librecording.la coordinator/libcoord.la common/libcommon.la $(MSGPACK_LIBS)
%C%_fuzz_recording_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
endif
