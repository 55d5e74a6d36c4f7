# SPDX-License-Identifier: Apache-2.0
# Shared memory between agent, trainer and collective; the collective process; its launcher and PMI.
noinst_LTLIBRARIES += %D%/libcomm.la
%C%_libcomm_la_SOURCES = %D%/comm.c %D%/comm.h %D%/comm_mpi.c %D%/region.c %D%/region.h \
    %D%/flight.c %D%/flight.h \
    %D%/launch.c %D%/launch.h %D%/pmi.c %D%/pmi.h

mu_collective_sources = %D%/collective.c %D%/collective.h %D%/collective_protocol.h %D%/world.c %D%/world.h %D%/transfer.c %D%/wide_mix.c %D%/wide_mix.h \
    %D%/neighbours.c %D%/neighbours.h %D%/reduce.c \
    %D%/near.c %D%/near.h %D%/guards.c %D%/guards.h %D%/proof.c %D%/proof.h
# The guards stand in for functions of the C library and of UCX: they must be visible to both.
mu_collective_link = $(AM_LDFLAGS) -Wl,--export-dynamic-symbol=epoll_wait -Wl,--export-dynamic-symbol=ucp_ep_create \
    -Wl,--export-dynamic-symbol=send -Wl,--export-dynamic-symbol=sendmsg -Wl,--export-dynamic-symbol=recv

pkglibexec_PROGRAMS += muster-collective
muster_collective_SOURCES = $(mu_collective_sources)
muster_collective_CPPFLAGS = $(AM_CPPFLAGS) $(MPI_CFLAGS)
muster_collective_LDFLAGS = $(mu_collective_link)
muster_collective_LDADD = %D%/libcomm.la common/libcommon.la $(MPI_LIBS) -lucp -lucs
if FAULTS
muster_collective_SOURCES += %D%/faults.c
endif

# Tests want one that can go wrong on purpose, however the rest is built.
check_PROGRAMS += tests/system/muster-collective-faulty
tests_system_muster_collective_faulty_SOURCES = $(mu_collective_sources) %D%/faults.c
tests_system_muster_collective_faulty_CPPFLAGS = $(AM_CPPFLAGS) $(MPI_CFLAGS) -DMU_FAULTS=1
tests_system_muster_collective_faulty_LDFLAGS = $(mu_collective_link)
tests_system_muster_collective_faulty_LDADD = %D%/libcomm.la common/libcommon.la $(MPI_LIBS) -lucp -lucs

# One that was linked wrongly: the guards are hidden.
check_PROGRAMS += tests/system/muster-collective-unguarded
tests_system_muster_collective_unguarded_SOURCES = $(mu_collective_sources) %D%/faults.c
tests_system_muster_collective_unguarded_CPPFLAGS = $(AM_CPPFLAGS) $(MPI_CFLAGS) -DMU_FAULTS=1
tests_system_muster_collective_unguarded_CFLAGS = $(AM_CFLAGS) -fvisibility=hidden
tests_system_muster_collective_unguarded_LDADD = %D%/libcomm.la common/libcommon.la $(MPI_LIBS) -lucp -lucs

# Worlds of real processes on this machine. The bed is shared with the bench.
mu_collective_bed = tests/system/collective_bed.c tests/system/collective_bed.h
check_PROGRAMS += tests/system/test_collective tests/system/test_collective_faults
TESTS += tests/system/test_collective tests/system/test_collective_faults
tests_system_test_collective_SOURCES = tests/system/test_collective.c tests/system/tap.h $(mu_collective_bed)
tests_system_test_collective_LDADD = %D%/libcomm.la common/libcommon.la -lpthread
tests_system_test_collective_faults_SOURCES = tests/system/test_collective_faults.c tests/system/tap.h $(mu_collective_bed)
tests_system_test_collective_faults_LDADD = %D%/libcomm.la common/libcommon.la

if HAVE_CMOCKA
unit_tests += tests/unit/test_region
tests_unit_test_region_LDADD = %D%/libcomm.la common/libcommon.la $(CMOCKA_LIBS) -lpthread
unit_tests += tests/unit/test_pmi
tests_unit_test_pmi_LDADD = %D%/libcomm.la common/libcommon.la $(CMOCKA_LIBS)
unit_tests += tests/unit/test_proof
tests_unit_test_proof_SOURCES = tests/unit/test_proof.c %D%/proof.c %D%/proof.h
unit_tests += tests/unit/test_near
tests_unit_test_near_SOURCES = tests/unit/test_near.c %D%/near.c %D%/near.h
tests_unit_test_near_LDADD = %D%/libcomm.la common/libcommon.la $(CMOCKA_LIBS)
unit_tests += tests/unit/test_wide_mix
tests_unit_test_wide_mix_SOURCES = tests/unit/test_wide_mix.c %D%/wide_mix.c %D%/wide_mix.h
endif

EXTRA_DIST += tests/fuzz/corpus/pmi
if FUZZING
noinst_PROGRAMS += tests/fuzz/fuzz_pmi
tests_fuzz_fuzz_pmi_SOURCES = tests/fuzz/fuzz_pmi.c
tests_fuzz_fuzz_pmi_LDADD = %D%/libcomm.la common/libcommon.la
tests_fuzz_fuzz_pmi_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
endif

# make tests/bench/bench_collective tests/bench/bench_allreduce && tests/bench/bench_collective
EXTRA_PROGRAMS += tests/bench/bench_collective tests/bench/bench_allreduce
tests_bench_bench_collective_SOURCES = tests/bench/bench_collective.c $(mu_collective_bed)
tests_bench_bench_collective_LDADD = %D%/libcomm.la common/libcommon.la
tests_bench_bench_allreduce_SOURCES = tests/bench/bench_allreduce.c %D%/guards.c %D%/guards.h
tests_bench_bench_allreduce_CPPFLAGS = $(AM_CPPFLAGS) $(MPI_CFLAGS)
tests_bench_bench_allreduce_LDFLAGS = $(mu_collective_link)
tests_bench_bench_allreduce_LDADD = %D%/libcomm.la common/libcommon.la $(MPI_LIBS) -lucp -lucs
