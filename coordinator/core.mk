# The pure core: events in, actions out. No I/O, no clock; tests/unit/core_is_pure.sh asks nm.
noinst_LTLIBRARIES += %D%/libcoord.la
%C%_libcoord_la_SOURCES = %D%/coord.h %D%/core.h %D%/grow.h %D%/queue_line.h %D%/timing.h %D%/apply.c %D%/coord.c \
    %D%/digest.c %D%/image.c %D%/absent.c %D%/absent.h %D%/ahead.c %D%/ahead.h %D%/apart.c %D%/apart.h %D%/audit.c \
    %D%/audit.h %D%/checkpoint.c %D%/checkpoint.h %D%/doubt.c %D%/doubt.h %D%/fault.c %D%/fault.h %D%/fences.c \
    %D%/fences.h %D%/fold.c %D%/fold.h %D%/followers.c %D%/followers.h %D%/following.c %D%/following.h %D%/forget.c \
    %D%/forget.h %D%/generation.c %D%/generation.h %D%/halt.c %D%/halt.h %D%/hang.c %D%/hang.h %D%/index.c %D%/index.h \
    %D%/job.c %D%/job.h %D%/late.c %D%/late.h %D%/loss.c %D%/loss.h %D%/missing.c %D%/missing.h %D%/names.c %D%/names.h %D%/orders.c \
    %D%/orders.h %D%/overdue.c %D%/overdue.h %D%/pace.c %D%/pace.h %D%/poison.c %D%/poison.h %D%/preempt.c \
    %D%/preempt.h %D%/prepare.c %D%/prepare.h %D%/proof.c %D%/proof.h %D%/query.c %D%/query.h %D%/queue.c %D%/queue.h \
    %D%/reign.c %D%/reign.h %D%/review.c %D%/review.h %D%/roster.c %D%/roster.h %D%/savers.c %D%/savers.h %D%/scale.c \
    %D%/scale.h %D%/seal.c %D%/seal.h %D%/shards.c %D%/shards.h %D%/trust.c %D%/trust.h %D%/unsound.c %D%/unsound.h

# A recording of what a core was fed: its bytes, and a core that is fed them again.
noinst_LTLIBRARIES += %D%/librecording.la
%C%_librecording_la_SOURCES = %D%/frames.c %D%/frames.h %D%/player.c %D%/player.h

# Pure as well: a majority's vote on who reigns, and the texts that say it.
noinst_LTLIBRARIES += %D%/libvote.la
%C%_libvote_la_SOURCES = %D%/caspaxos.c %D%/caspaxos.h %D%/caspaxos_proposer.c %D%/lines.c %D%/lines.h \
    %D%/reign_text.c %D%/reign_text.h %D%/reign.h %D%/vote_words.c %D%/vote_words.h
