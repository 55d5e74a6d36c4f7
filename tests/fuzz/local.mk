# Fuzzing the wire and the journal; other fuzz targets are declared beside what they fuzz.
EXTRA_DIST += %D%/corpus/wire scripts/fuzz
if FUZZING
noinst_PROGRAMS += %D%/fuzz_wire
%C%_fuzz_wire_SOURCES = %D%/fuzz_wire.c
%C%_fuzz_wire_CPPFLAGS = $(AM_CPPFLAGS) $(JANSSON_CFLAGS)
%C%_fuzz_wire_LDADD = common/libcommon.la $(MSGPACK_LIBS) $(JANSSON_LIBS)
%C%_fuzz_wire_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
endif
