# Not run by `make check`: `scripts/bench` builds and runs them, docs/performance.md tells what they said.
EXTRA_PROGRAMS += %D%/bench_coordinator
EXTRA_DIST += %D%/bench_training.py %D%/bench_submit.py %D%/bench_recovery.py %D%/bench_standby.py scripts/bench

%C%_bench_coordinator_SOURCES = %D%/bench_coordinator.c %D%/coordinator_bed.c %D%/coordinator_bed.h
%C%_bench_coordinator_CPPFLAGS = $(AM_CPPFLAGS) $(ZMQ_CFLAGS)
%C%_bench_coordinator_LDADD = common/libcommon.la $(ZMQ_LIBS) $(MSGPACK_LIBS)

EXTRA_PROGRAMS += %D%/bench_durable
%C%_bench_durable_SOURCES = %D%/bench_durable.c %D%/coordinator_bed.c %D%/coordinator_bed.h %D%/group_commit.c %D%/group_commit.h
%C%_bench_durable_CPPFLAGS = $(AM_CPPFLAGS) $(ZMQ_CFLAGS) $(SQLITE_CFLAGS)
%C%_bench_durable_LDADD = common/libcommon.la $(ZMQ_LIBS) $(SQLITE_LIBS) $(MSGPACK_LIBS)

EXTRA_PROGRAMS += %D%/bench_connections
%C%_bench_connections_SOURCES = %D%/bench_connections.c %D%/players.c %D%/players.h
%C%_bench_connections_CPPFLAGS = $(AM_CPPFLAGS) $(ZMQ_CFLAGS)
%C%_bench_connections_LDADD = common/libcommon.la $(ZMQ_LIBS) $(MSGPACK_LIBS)

# The worker's own pieces, and MPI in this process: the guards as in muster-collective, so that it polls as that does.
EXTRA_PROGRAMS += %D%/bench_exactness
%C%_bench_exactness_SOURCES = %D%/bench_exactness.c tests/unit/trainer_bed.c tests/unit/trainer_bed.h \
    worker/train_buckets.c worker/train.h worker/comm/proof.c worker/comm/proof.h worker/comm/guards.c worker/comm/guards.h
%C%_bench_exactness_CPPFLAGS = $(AM_CPPFLAGS) $(MPI_CFLAGS)
%C%_bench_exactness_CFLAGS = $(AM_CFLAGS) -ffp-contract=off
%C%_bench_exactness_LDFLAGS = $(mu_collective_link)
%C%_bench_exactness_LDADD = worker/state/libstate.la $(mu_trainer_libraries) $(MPI_LIBS) -lucp -lucs -lpthread -lm

EXTRA_PROGRAMS += %D%/bench_checkpoint
%C%_bench_checkpoint_SOURCES = %D%/bench_checkpoint.c
%C%_bench_checkpoint_CFLAGS = $(AM_CFLAGS) $(SODIUM_CFLAGS)
%C%_bench_checkpoint_LDADD = worker/checkpoint/libcheckpoint.la worker/state/libstate.la common/libcommon.la \
    $(JANSSON_LIBS) $(SODIUM_LIBS) -lpthread -lm
