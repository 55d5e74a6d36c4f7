# Fuzzing the wire and the journal; other fuzz targets are declared beside what they fuzz.
EXTRA_DIST += %D%/corpus/wire %D%/corpus/recording scripts/fuzz
if FUZZING
noinst_PROGRAMS += %D%/fuzz_wire
%C%_fuzz_wire_SOURCES = %D%/fuzz_wire.c
%C%_fuzz_wire_CPPFLAGS = $(AM_CPPFLAGS) $(JANSSON_CFLAGS)
%C%_fuzz_wire_LDADD = common/libcommon.la $(MSGPACK_LIBS) $(JANSSON_LIBS)
%C%_fuzz_wire_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer

noinst_PROGRAMS += %D%/fuzz_recording
%C%_fuzz_recording_SOURCES = %D%/fuzz_recording.c
%C%_fuzz_recording_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/coordinator
%C%_fuzz_recording_LDADD = coordinator/librecording.la coordinator/libcoord.la common/libcommon.la $(MSGPACK_LIBS)
%C%_fuzz_recording_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
endif
