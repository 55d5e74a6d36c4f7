# The pure core: events in, actions out. No I/O, no clock; tests/unit/core_is_pure.sh asks nm.
noinst_LTLIBRARIES += %D%/libcoord.la
%C%_libcoord_la_SOURCES = %D%/coord.h %D%/core.h %D%/fences.h %D%/grow.h %D%/index.h %D%/names.h %D%/queue.h %D%/timing.h \
    %D%/absent.c %D%/ahead.c %D%/apart.c %D%/apply.c %D%/audit.c %D%/checkpoint.c %D%/coord.c %D%/digest.c %D%/fault.c %D%/fences.c %D%/fold.c %D%/forget.c %D%/generation.c %D%/halt.c \
    %D%/hang.c %D%/image.c %D%/index.c %D%/job.c %D%/late.c %D%/names.c %D%/orders.c %D%/pace.c %D%/poison.c \
    %D%/followers.c %D%/followers.h %D%/following.c %D%/following.h %D%/reign.c %D%/reign.h \
    %D%/preempt.c %D%/missing.c %D%/overdue.c %D%/doubt.c %D%/prepare.c %D%/proof.c %D%/query.c %D%/queue.c %D%/review.c %D%/roster.c %D%/savers.c %D%/scale.c %D%/seal.c %D%/shards.c %D%/trust.c %D%/unsound.c

# A recording of what a core was fed: its bytes, and a core that is fed them again.
noinst_LTLIBRARIES += %D%/librecording.la
%C%_librecording_la_SOURCES = %D%/frames.c %D%/frames.h %D%/player.c %D%/player.h

# Pure as well: a majority's vote on who reigns, and the texts that say it.
noinst_LTLIBRARIES += %D%/libvote.la
%C%_libvote_la_SOURCES = %D%/caspaxos.c %D%/caspaxos.h %D%/caspaxos_proposer.c %D%/lines.c %D%/lines.h \
    %D%/reign_text.c %D%/reign_text.h %D%/reign.h %D%/vote_words.c %D%/vote_words.h
