# worker/kernels: the order-fixed arithmetic. The same sources once per instruction set, each with the
# set's flags; which one runs is chosen at run time. Their bits are the contract, so these flags are too:
# no contraction of a * b + c behind our back, and never -ffast-math or a part of it that reorders.
noinst_LTLIBRARIES += %D%/libkernels.la

mu_exact_flags = $(AM_CFLAGS) -ffp-contract=off -fno-trapping-math -fno-math-errno
# -O3 by itself would yield to the -O2 in the user's CFLAGS, which come last; the name of what it adds does not.
# A micro-kernel's loop of two dozen instructions is 5% slower where it straddles lines of the decoder's cache.
mu_kernel_flags = $(mu_exact_flags) -O3 -ftree-vectorize -falign-loops=64 -falign-functions=64
mu_kernel_sources = %D%/gemm.c %D%/elementwise.c %D%/reduce.c %D%/rows.c

%C%_libkernels_la_SOURCES = %D%/kernels.c %D%/portable.c %D%/kernels.h %D%/isa.h %D%/simd.h \
    %D%/ordinary.h
%C%_libkernels_la_CFLAGS = $(mu_exact_flags)
%C%_libkernels_la_LIBADD = %D%/libplain.la -lm

noinst_LTLIBRARIES += %D%/libplain.la
%C%_libplain_la_SOURCES = $(mu_kernel_sources)
%C%_libplain_la_CFLAGS = $(mu_kernel_flags)
%C%_libplain_la_CPPFLAGS = $(AM_CPPFLAGS) -DMU_ISA=plain

if X86_64
noinst_LTLIBRARIES += %D%/libavx2.la %D%/libavx512.la
%C%_libkernels_la_LIBADD += %D%/libavx2.la %D%/libavx512.la
%C%_libavx2_la_SOURCES = $(mu_kernel_sources)
%C%_libavx2_la_CFLAGS = $(mu_kernel_flags) -mavx2 -mfma
%C%_libavx2_la_CPPFLAGS = $(AM_CPPFLAGS) -DMU_ISA=avx2
%C%_libavx512_la_SOURCES = $(mu_kernel_sources)
%C%_libavx512_la_CFLAGS = $(mu_kernel_flags) -mavx512f -mavx512vl -mavx512dq -mavx512bw -mfma \
    -mprefer-vector-width=512
%C%_libavx512_la_CPPFLAGS = $(AM_CPPFLAGS) -DMU_ISA=avx512
endif

if AARCH64
noinst_LTLIBRARIES += %D%/libneon.la
%C%_libkernels_la_LIBADD += %D%/libneon.la
%C%_libneon_la_SOURCES = $(mu_kernel_sources)
%C%_libneon_la_CFLAGS = $(mu_kernel_flags)
%C%_libneon_la_CPPFLAGS = $(AM_CPPFLAGS) -DMU_ISA=neon
endif

if HAVE_OPENBLAS
%C%_libkernels_la_SOURCES += %D%/openblas.c
%C%_libkernels_la_CFLAGS += $(OPENBLAS_CFLAGS)
endif

if HAVE_CMOCKA
unit_tests += tests/unit/test_kernels tests/unit/test_kernels_matrix \
    tests/unit/test_kernels_numbers
mu_kernel_test_ldadd = %D%/libkernels.la common/libcommon.la $(CMOCKA_LIBS) -lpthread -lm
tests_unit_test_kernels_SOURCES = tests/unit/test_kernels.c tests/unit/kernels_reference.c \
    tests/unit/kernels_reference.h
tests_unit_test_kernels_CFLAGS = $(mu_exact_flags)
tests_unit_test_kernels_LDADD = $(mu_kernel_test_ldadd)
tests_unit_test_kernels_matrix_SOURCES = tests/unit/test_kernels_matrix.c \
    tests/unit/kernels_reference.c tests/unit/kernels_reference.h
tests_unit_test_kernels_matrix_CFLAGS = $(mu_exact_flags)
tests_unit_test_kernels_matrix_LDADD = $(mu_kernel_test_ldadd)
tests_unit_test_kernels_numbers_CFLAGS = $(mu_exact_flags)
tests_unit_test_kernels_numbers_LDADD = $(mu_kernel_test_ldadd)
endif

# Not run by `make check`: a table of ratios for docs/performance.md.
if HAVE_OPENBLAS
EXTRA_PROGRAMS += tests/bench/bench_gemm
tests_bench_bench_gemm_SOURCES = tests/bench/bench_gemm.c
tests_bench_bench_gemm_LDADD = %D%/libkernels.la common/libcommon.la -lpthread
endif
