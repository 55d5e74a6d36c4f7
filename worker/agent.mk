# The agent's pure core, the trainer process, and the agent's shell around its core.
noinst_LTLIBRARIES += %D%/libagent.la
%C%_libagent_la_SOURCES = %D%/agent.c %D%/agent.h %D%/agent_ahead.c %D%/agent_coordinator.c %D%/agent_core.h \
    %D%/agent_fault.c %D%/agent_generation.c %D%/agent_timing.h %D%/agent_trainer.c %D%/agent_watch.c %D%/agent_words.c
%C%_libagent_la_CPPFLAGS = $(AM_CPPFLAGS)

noinst_LTLIBRARIES += %D%/libchannel.la
%C%_libchannel_la_SOURCES = %D%/channel.c %D%/channel.h

pkglibexec_PROGRAMS += muster-trainer
muster_trainer_SOURCES = %D%/train.h %D%/train_buckets.c %D%/train_evaluate.c \
    %D%/train_audit.c %D%/train_folder.c %D%/train_gradient.c %D%/train_head.c %D%/train_memory.c %D%/train_open.c %D%/train_orders.c %D%/train_pool.c \
    %D%/train_report.c %D%/train_save.c %D%/train_step.c %D%/trainer_main.c
muster_trainer_CPPFLAGS = $(AM_CPPFLAGS) $(SODIUM_CFLAGS) $(JANSSON_CFLAGS)
muster_trainer_LDADD = %D%/libchannel.la worker/trainers/libtrainers.la \
    worker/checkpoint/libcheckpoint.la worker/comm/libcomm.la worker/data/libdata.la \
    worker/state/libstate.la worker/kernels/libkernels.la \
    common/libcommon.la $(SODIUM_LIBS) $(JANSSON_LIBS) -lpthread -lm

sbin_PROGRAMS += muster-worker
muster_worker_SOURCES = %D%/io_agent.c %D%/io_agent.h %D%/io_collective.c %D%/io_collective.h \
    %D%/io_coordinator.c %D%/io_coordinator.h %D%/io_device.c %D%/io_device.h %D%/io_fault.c \
    %D%/io_fault.h %D%/io_name.c %D%/io_name.h %D%/io_supervise.c %D%/io_supervise.h %D%/io_trainer.c %D%/io_trainer.h %D%/io_watch.c \
    %D%/io_watch.h %D%/main.c
muster_worker_CPPFLAGS = $(AM_CPPFLAGS) $(ZMQ_CFLAGS) $(JANSSON_CFLAGS)
muster_worker_LDADD = %D%/libagent.la %D%/libchannel.la worker/comm/libcomm.la \
    worker/kernels/libkernels.la common/libcommon.la $(ZMQ_LIBS) \
    $(JANSSON_LIBS) $(MSGPACK_LIBS) -lpthread -lm

check_PROGRAMS += tests/system/train_worlds tests/system/train_jobs
TESTS += tests/system/train_worlds tests/system/train_jobs
train_bed = tests/system/train_bed.c tests/system/train_bed.h tests/system/tap.h
train_test_libs = %D%/libchannel.la worker/comm/libcomm.la worker/state/libstate.la common/libcommon.la -lm
tests_system_train_worlds_SOURCES = tests/system/train_worlds.c $(train_bed)
tests_system_train_worlds_LDADD = $(train_test_libs)
tests_system_train_jobs_SOURCES = tests/system/train_jobs.c $(train_bed)
tests_system_train_jobs_LDADD = $(train_test_libs)

if HAVE_CMOCKA
unit_tests += tests/unit/test_watch
unit_tests += tests/unit/test_train_memory
tests_unit_test_train_memory_SOURCES = tests/unit/test_train_memory.c %D%/train_memory.c %D%/train.h
# The stories of the agent's core stand on one bed.
agent_bed = tests/unit/agent_bed.c tests/unit/agent_bed.h
unit_tests += tests/unit/test_agent
tests_unit_test_agent_SOURCES = tests/unit/test_agent.c $(agent_bed)
unit_tests += tests/unit/test_agent_worlds
tests_unit_test_agent_worlds_SOURCES = tests/unit/test_agent_worlds.c $(agent_bed)
unit_tests += tests/unit/test_agent_loss
tests_unit_test_agent_loss_SOURCES = tests/unit/test_agent_loss.c $(agent_bed)
unit_tests += tests/unit/test_agent_trainer
tests_unit_test_agent_trainer_SOURCES = tests/unit/test_agent_trainer.c $(agent_bed)
unit_tests += tests/unit/test_agent_orders
tests_unit_test_agent_orders_SOURCES = tests/unit/test_agent_orders.c $(agent_bed)
endif

# What `muster sample` does, for any program.
noinst_LTLIBRARIES += %D%/libsample.la
%C%_libsample_la_SOURCES = %D%/sample.c %D%/sample.h
%C%_libsample_la_CPPFLAGS = $(AM_CPPFLAGS) $(SODIUM_CFLAGS) $(JANSSON_CFLAGS)
%C%_libsample_la_LIBADD = worker/trainers/libtrainers.la worker/checkpoint/libcheckpoint.la \
    worker/data/libdata.la worker/state/libstate.la worker/kernels/libkernels.la -lm
