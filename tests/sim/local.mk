# The real cores of coordinator and agent in a simulated world. `make check` runs a thousand seeds and
# ten thousand workers once; MUSTER_SIM_SEEDS runs more, scripts/mutants tests the simulator itself.
check_PROGRAMS += %D%/sim
%C%_sim_SOURCES = %D%/sim.c %D%/sim.h %D%/chain.c %D%/check.c %D%/client.c %D%/clock.c %D%/folds.c %D%/host.c %D%/hurry.c %D%/ledgers.c %D%/lie.c %D%/lie.h %D%/lies.c %D%/network.c \
    %D%/priority.c %D%/quiet.c %D%/recordings.c %D%/saver.c %D%/scenes.c %D%/scenes.h %D%/storage.c %D%/story.c %D%/trainer.c %D%/worker.c %D%/world.c %D%/writers.c
%C%_sim_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/coordinator -I$(top_srcdir)/worker \
    -I$(top_srcdir)/client
%C%_sim_LDADD = coordinator/librecording.la coordinator/libcoord.la worker/libagent.la client/libledger.la common/libcommon.la $(MSGPACK_LIBS)

# Who reigns: the part of a coordinator that follows another, alone, with many more faults a second.
check_PROGRAMS += %D%/reigns
%C%_reigns_SOURCES = %D%/reigns.c %D%/reigns_check.c %D%/reigns_journal.c %D%/reigns_node.c %D%/reigns_quiet.c %D%/scenes.c %D%/scenes.h %D%/reigns.h
%C%_reigns_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/coordinator
%C%_reigns_LDADD = coordinator/libcoord.la common/libcommon.la $(MSGPACK_LIBS)

TESTS += %D%/seeds.sh %D%/quiet.sh tests/golden/golden.sh tests/unit/core_is_pure.sh
EXTRA_DIST += %D%/seeds.sh %D%/quiet.sh %D%/seeds.txt tests/golden/golden.sh tests/golden/two-workers.trace \
    tests/golden/worker-dies.trace tests/golden/coordinator-restarts.trace tests/golden/join-and-drain.trace tests/golden/poison.trace \
    tests/unit/core_is_pure.sh scripts/mutants
