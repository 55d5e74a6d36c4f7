# What two programs must agree on. Each schema is turned into C by a script of its own.
EXTRA_DIST += %D%/wire.schema %D%/journal.schema %D%/recording.schema %D%/states.schema %D%/errors.schema %D%/metrics.schema
EXTRA_DIST += scripts/gen_records.py scripts/gen_states.py scripts/gen_errors.py scripts/gen_metrics.py scripts/schema.py
