-- store.sql - the coordinator's database, one numbered step a version
--
-- A step is what lies between its "-- step N" line and the next. A database at version N is brought
-- to the newest by running the later steps in order, in one transaction. A released step never
-- changes; a change is a new step. The journal is the truth: the other tables are kept beside it in
-- the same transactions, for people with an SQL prompt and for other tools.

-- step 1
CREATE TABLE journal (
    number  INTEGER PRIMARY KEY,     -- grows by one a record, never used twice
    type    INTEGER NOT NULL,        -- journal.schema
    job     INTEGER NOT NULL,        -- 0 where it is about none
    latest  TEXT UNIQUE,             -- of records with one key only the newest is kept; NULL: all are
    unix_ms INTEGER NOT NULL,        -- when it was stored, for people
    body    BLOB NOT NULL            -- msgpack, as journal.schema says
);
CREATE TABLE job (
    job          INTEGER PRIMARY KEY,
    name         TEXT NOT NULL,
    state        TEXT NOT NULL,
    reason       TEXT NOT NULL DEFAULT '',
    generation   INTEGER NOT NULL DEFAULT 0,
    steps        INTEGER NOT NULL DEFAULT 0,
    submitted_ms INTEGER NOT NULL,
    spec         TEXT NOT NULL
);
CREATE TABLE checkpoint (
    job          INTEGER NOT NULL,
    step         INTEGER NOT NULL,
    path         TEXT NOT NULL,
    weights_hash TEXT NOT NULL,
    bytes        INTEGER NOT NULL,
    committed_ms INTEGER NOT NULL,
    PRIMARY KEY (job, step)
) WITHOUT ROWID;
CREATE TABLE bad_record (            -- what could not be read at a start: set aside, never lost
    number  INTEGER PRIMARY KEY,
    why     TEXT NOT NULL,
    body    BLOB NOT NULL
);

-- step 2
-- Progress, of which only the newest matters, moves to a table of its own, clustered by what makes it
-- the same: storing it again then changes one row where it lies, instead of a row and an index.
CREATE TABLE progress (
    type    INTEGER NOT NULL,        -- journal.schema; its fields marked `latest`, in order, follow
    part_1  INTEGER NOT NULL,
    part_2  INTEGER NOT NULL,
    part_3  INTEGER NOT NULL,        -- 0 where there are fewer
    number  INTEGER NOT NULL,        -- as in journal: the two share one sequence
    job     INTEGER NOT NULL,
    unix_ms INTEGER NOT NULL,
    body    BLOB NOT NULL,
    PRIMARY KEY (type, part_1, part_2, part_3)
) WITHOUT ROWID;
INSERT INTO progress
    SELECT type, CAST (ltrim (latest, 'ABCDEFGHIJKLMNOPQRSTUVWXYZ_') AS INTEGER),
        CAST (substr (latest, instr (latest, '.') + 1) AS INTEGER),
        CASE WHEN latest LIKE '%.%.%' THEN CAST (substr (latest, instr (latest, '.') + 1 +
            instr (substr (latest, instr (latest, '.') + 1), '.')) AS INTEGER) ELSE 0 END,
        number, job, unix_ms, body
    FROM journal WHERE latest IS NOT NULL;
CREATE TABLE journal_kept (
    number  INTEGER PRIMARY KEY,
    type    INTEGER NOT NULL,
    job     INTEGER NOT NULL,
    unix_ms INTEGER NOT NULL,
    body    BLOB NOT NULL
);
INSERT INTO journal_kept SELECT number, type, job, unix_ms, body FROM journal WHERE latest IS NULL;
DROP TABLE journal;
ALTER TABLE journal_kept RENAME TO journal;
CREATE VIEW record AS                -- all that is kept, for people: ORDER BY number
    SELECT number, type, job, unix_ms, body FROM journal
    UNION ALL SELECT number, type, job, unix_ms, body FROM progress;

-- step 3
CREATE TABLE about (                 -- one row: which database this is
    id      INTEGER NOT NULL,        -- drawn when it was made; a copy that shall reign beside it needs another
    cluster INTEGER NOT NULL         -- of the coordinators that share one journal; 0: it stands alone
);
INSERT INTO about VALUES ((random () & 4611686018427387903) | 1, 0);

-- step 4
-- Records numbered up to this one may be missing, or be another's: those of jobs that ended long ago
-- were folded into one each. Who has less of the journal needs all of it anew.
ALTER TABLE about ADD COLUMN folded_to INTEGER NOT NULL DEFAULT 0;

-- step 5
-- What was submitted is in the journal, and in what `muster status` says: half of what a submit wrote was this.
ALTER TABLE job DROP COLUMN spec;

-- step 6
-- Which file this database is, 0 where nobody knows: in a copy it is another's, and what others know by its id is not the copy.
ALTER TABLE about ADD COLUMN inode INTEGER NOT NULL DEFAULT 0;
ALTER TABLE about ADD COLUMN born_ns INTEGER NOT NULL DEFAULT 0;   -- since 1970

-- step 7
-- One number in place of four columns: storing progress again finds its row at half the cost, and all of a generation's
-- lie together. progress_key is the coordinator's own function (io_key.c).
CREATE TABLE progress_kept (
    key     INTEGER PRIMARY KEY,     -- job, generation, type and rank or place, of each only the newest
    number  INTEGER NOT NULL,        -- as in journal: the two share one sequence
    type    INTEGER NOT NULL,        -- journal.schema
    job     INTEGER NOT NULL,
    unix_ms INTEGER NOT NULL,
    body    BLOB NOT NULL
);
INSERT INTO progress_kept
    SELECT progress_key (type, part_1, part_2, part_3), number, type, job, unix_ms, body FROM progress ORDER BY 1;
DROP VIEW record;
DROP TABLE progress;
ALTER TABLE progress_kept RENAME TO progress;
CREATE VIEW record AS
    SELECT number, type, job, unix_ms, body FROM journal
    UNION ALL SELECT number, type, job, unix_ms, body FROM progress;
