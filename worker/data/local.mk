# libdata: data sets as numbered records (data.h), tokenizers (tokenizer.h), the order of records (order.h)
noinst_LTLIBRARIES += %D%/libdata.la
%C%_libdata_la_SOURCES = \
    %D%/bpe.c %D%/bpe.h %D%/bpe_train.c %D%/cache.c %D%/data.c %D%/data.h %D%/describe.c \
    %D%/dictzip.c %D%/dictzip.h %D%/file.c %D%/file.h %D%/format.h %D%/formats.c %D%/gpt2.c \
    %D%/order.c %D%/order.h %D%/parts.h %D%/paths.c %D%/paths.h %D%/prepare.c %D%/read_csv.c \
    %D%/read_idx.c %D%/read_jsonl.c %D%/read_llmc.c %D%/read_npy.c %D%/read_text.c %D%/rows.c \
    %D%/split.c %D%/split.h %D%/stream.c %D%/stream.h %D%/tokenizer.c %D%/tokenizer.h \
    %D%/unicode_ranges.h %D%/values.c %D%/where.c %D%/writer.c
%C%_libdata_la_CPPFLAGS = $(AM_CPPFLAGS) $(ZLIB_CFLAGS) $(SODIUM_CFLAGS) $(JANSSON_CFLAGS)
%C%_libdata_la_LIBADD = $(ZLIB_LIBS) $(SODIUM_LIBS) $(JANSSON_LIBS)
EXTRA_DIST += scripts/gen_unicode.py

if HAVE_CMOCKA
unit_tests += tests/unit/test_order
tests_unit_test_order_LDADD = %D%/libdata.la common/libcommon.la $(CMOCKA_LIBS)
data_bed = tests/unit/data_bed.c tests/unit/data_bed.h
data_test_libs = %D%/libdata.la common/libcommon.la $(CMOCKA_LIBS) $(ZLIB_LIBS) $(JANSSON_LIBS) -lpthread
unit_tests += tests/unit/test_data
tests_unit_test_data_SOURCES = tests/unit/test_data.c $(data_bed)
tests_unit_test_data_LDADD = $(data_test_libs)
unit_tests += tests/unit/test_data_formats
tests_unit_test_data_formats_SOURCES = tests/unit/test_data_formats.c $(data_bed)
tests_unit_test_data_formats_LDADD = $(data_test_libs)
unit_tests += tests/unit/test_data_text
tests_unit_test_data_text_SOURCES = tests/unit/test_data_text.c $(data_bed)
tests_unit_test_data_text_LDADD = $(data_test_libs)
unit_tests += tests/unit/test_bpe
tests_unit_test_bpe_LDADD = %D%/libdata.la common/libcommon.la $(CMOCKA_LIBS) $(JANSSON_LIBS)
endif

if FUZZING
noinst_PROGRAMS += tests/fuzz/fuzz_data
tests_fuzz_fuzz_data_SOURCES = tests/fuzz/fuzz_data.c $(%C%_libdata_la_SOURCES) common/error.c common/text.c
nodist_tests_fuzz_fuzz_data_SOURCES = common/errors.c
tests_fuzz_fuzz_data_CFLAGS = $(AM_CFLAGS) $(ZLIB_CFLAGS) $(SODIUM_CFLAGS) $(JANSSON_CFLAGS) \
    -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined
tests_fuzz_fuzz_data_LDFLAGS = -fsanitize=fuzzer,address,undefined
tests_fuzz_fuzz_data_LDADD = $(ZLIB_LIBS) $(SODIUM_LIBS) $(JANSSON_LIBS) -lpthread
noinst_PROGRAMS += tests/fuzz/fuzz_tokenizer
tests_fuzz_fuzz_tokenizer_SOURCES = tests/fuzz/fuzz_tokenizer.c
tests_fuzz_fuzz_tokenizer_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
tests_fuzz_fuzz_tokenizer_LDADD = %D%/libdata.la common/libcommon.la -lpthread
endif
EXTRA_DIST += tests/fuzz/corpus/data tests/fuzz/corpus/tokenizer
