# Pages for people, installed as they lie here, so that links between them lead somewhere; the pages that
# are made from schemas/ lie among them.
dist_doc_DATA = README.md ARCHITECTURE.md CHANGELOG.md CONTRIBUTING.md LICENSE

pagesdir = $(docdir)/docs
dist_pages_DATA = %D%/checkpoints.md %D%/data.md %D%/faults.md %D%/operations.md %D%/performance.md %D%/portability.md \
    %D%/trainer.md %D%/tutorial.md
nodist_pages_DATA = common/errors.md common/journal.md common/jobspec.md common/metrics.md \
    common/options.md common/recording.md common/states.md common/wire.md

decisionsdir = $(pagesdir)/decisions
dist_decisions_DATA = \
    %D%/decisions/0001-tables-not-generated-codecs.md \
    %D%/decisions/0002-ledger-as-prefixes.md \
    %D%/decisions/0003-learning-rate-is-computed-by-workers.md \
    %D%/decisions/0004-a-join-breaks-a-generation-as-planned.md \
    %D%/decisions/0010-the-agent-is-goals-and-settle.md \
    %D%/decisions/0011-the-trainer-process.md \
    %D%/decisions/0012-names-and-incarnations-of-workers.md \
    %D%/decisions/0013-the-ledger-is-proven-outside.md \
    %D%/decisions/0014-who-hangs-is-decided-where-all-are-seen.md \
    %D%/decisions/0015-poison-is-found-alone-and-left-out-for-good.md \
    %D%/decisions/0016-shares-follow-measured-speed.md \
    %D%/decisions/0017-a-wrong-worker-is-outvoted.md \
    %D%/decisions/0018-faults-are-orders-that-nobody-keeps.md \
    %D%/decisions/0019-scale-is-a-maximum.md \
    %D%/decisions/0020-a-world-that-cannot-form-is-tried-without-one.md \
    %D%/decisions/0021-checkpoints-in-slices.md \
    %D%/decisions/0022-who-gives-workers-to-whom.md \
    %D%/decisions/0023-a-recording-begins-anywhere.md \
    %D%/decisions/0024-the-next-world-is-connected-ahead.md \
    %D%/decisions/0025-who-reigns-is-swapped-in.md \
    %D%/decisions/0026-an-ended-jobs-history-is-folded.md \
    %D%/decisions/0027-async-is-for-clients-alone.md \
    %D%/decisions/0028-who-reigns-is-written-outside.md \
    %D%/decisions/0029-the-first-lease-is-long.md \
    %D%/decisions/0030-who-leaves-is-compared-first.md \
    %D%/decisions/0031-who-joins-opens-without-a-state.md \
    %D%/decisions/0032-a-step-waits-for-memory-not-for-arithmetic.md \
    %D%/decisions/0033-a-listener-is-paused-in-libzmqs-epoll-set.md \
    %D%/decisions/0034-thousands-of-jobs-may-wait.md \
    %D%/decisions/0035-what-a-death-costs-in-processor-time.md \
    %D%/decisions/0036-who-was-to-write-is-believed.md \
    %D%/decisions/0037-libcurl-is-loaded-for-a-lease-alone.md \
    %D%/decisions/0038-a-row-is-written-once.md \
    %D%/decisions/0039-a-state-goes-to-the-same-host-as-memory.md \
    %D%/decisions/0040-a-checkpoint-is-what-all-ranks-hold.md \
    %D%/decisions/0041-what-waits-is-no-reason-to-fold.md \
    %D%/decisions/0042-one-child-writes-all-checkpoints.md \
    %D%/decisions/0043-what-a-restart-and-a-pause-may-not-hide.md \
    %D%/decisions/0044-who-leaves-ends-with-a-whole-step.md \
    %D%/decisions/0045-ranks-of-one-host-reduce-as-memory.md \
    %D%/decisions/0046-a-region-has-large-pages-if-they-come-cheap.md \
    %D%/decisions/0047-a-copy-is-not-its-original.md \
    %D%/decisions/0048-few-wait-where-many-asked.md \
    %D%/decisions/0049-a-checkpoint-that-nobody-can-read-is-waited-for.md \
    %D%/decisions/0050-a-writer-that-waits-for-storage-is-left-alone.md \
    %D%/decisions/0051-no-worker-alone-ends-a-job.md \
    %D%/decisions/0053-after-a-restart-nobody-waits-for-the-clock.md \
    %D%/decisions/0054-where-one-joins-all-stand-after-the-same-step.md \
    %D%/decisions/0055-builds-of-a-plug-in-are-compared.md \
    %D%/decisions/0056-who-served-what-is-lost-is-sent-away.md \
    %D%/decisions/0057-who-is-one-update-behind-makes-it-itself.md \
    %D%/decisions/0058-what-a-state-is-read-by-is-kept-twice.md \
    %D%/decisions/0059-progress-is-found-by-one-number.md \
    %D%/decisions/0060-what-a-waiting-job-costs-is-the-memory-it-touches.md \
    %D%/decisions/0062-who-stands-where-it-cannot-is-not-believed.md \
    %D%/decisions/0063-what-ended-long-ago-is-forgotten.md \
    %D%/decisions/0064-what-a-connection-costs-is-libzmqs.md \
    %D%/decisions/0066-who-cannot-speak-calls-nobody-silent.md \
    %D%/decisions/0067-what-was-never-committed-does-not-count.md \
    %D%/decisions/0069-who-died-is-told-after-who-noticed.md \
    %D%/decisions/0070-an-emptied-database-is-no-new-one.md \
    %D%/decisions/0071-who-lives-has-the-name.md \
    %D%/decisions/0072-what-ended-needs-no-room-to-train.md \
    %D%/decisions/0074-steps-that-one-worker-alone-holds.md

linearexampledir = $(docdir)/examples/linear
dist_linearexample_DATA = examples/linear/linear.c examples/linear/linear.yaml examples/linear/Makefile
clientexampledir = $(docdir)/examples/client
dist_clientexample_DATA = examples/client/submit.c

# One run of a generator makes several files; the first of them stands for all.
common/errors.md: common/errors.c
common/journal.md: common/journal_shapes.c
common/metrics.md: common/metrics.c
common/recording.md: common/recording_shapes.c
common/states.md: common/states.c
common/wire.md: common/wire_shapes.c
