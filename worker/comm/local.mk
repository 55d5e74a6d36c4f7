# SPDX-License-Identifier: Apache-2.0
# Shared memory between agent, trainer and collective; the collective process; its launcher and PMI.
noinst_LTLIBRARIES += %D%/libcomm.la
%C%_libcomm_la_SOURCES = %D%/comm.c %D%/comm.h %D%/comm_mpi.c %D%/region.c %D%/region.h \
    %D%/launch.c %D%/launch.h %D%/pmi.c %D%/pmi.h

mu_collective_sources = %D%/collective.c %D%/collective.h %D%/collective_protocol.h %D%/world.c \
    %D%/guards.c %D%/guards.h %D%/proof.c %D%/proof.h
# The guards stand in for functions of the C library and of UCX: they must be visible to both.
mu_collective_link = $(AM_LDFLAGS) -Wl,--export-dynamic-symbol=epoll_wait -Wl,--export-dynamic-symbol=ucp_ep_create

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
