/* SPDX-License-Identifier: Apache-2.0 */
/* test_recording.c - a recording is read as it was written, up to where its writer died; what is played
 * is what was recorded; and whatever the disk does, the coordinator does not notice */
#include "coordinator/frames.h"
#include "coordinator/io_recorder.h"
#include "coordinator/player.h"

#include "log.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <msgpack.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define LIMIT_MS 10000

static const struct coord_options settings = { .version = "9.8.7", .beat_ms = 100, .faults = true };

/* --- a short reign ---------------------------------------------------------------------------- */

struct reign {
    struct coord *coord;
    struct coord_actions actions;
    msgpack_sbuffer bytes, word; /* the recording; a message */
    struct recorder *recorder;   /* or NULL: into `bytes` */
    uint64_t events;
};

static void reign_step (struct reign *reign, struct coord_event event)
{
    struct mu_error error;
    struct mu_blob wire = { 0 };
    event.now_ms = 5000 + 10 * reign->events;
    event.unix_ms = 1700000000000 + event.now_ms;
    msgpack_sbuffer_clear (&reign->word);
    if (event.wire) {
        assert_int_equal (mu_record_encode (&mu_wire_family, event.wire, &reign->word, &error), 0);
        wire = (struct mu_blob){ reign->word.data, (uint32_t)reign->word.size };
    }
    reign->actions.count = 0;
    coord_step (reign->coord, &event, &reign->actions);
    reign->events++;
    if (reign->recorder)
        recorder_event (reign->recorder, &event, wire, &reign->actions);
    else
        assert_int_equal (frames_event (&reign->bytes, &event, wire, &reign->actions, &error), 0);
}

static void hello (struct reign *reign, uint32_t peer, const char *name)
{
    struct mu_wire wire = { .type = MU_WIRE_HELLO, .hello = { .incarnation = 1, .threads = 1 } };
    mu_text_set (wire.hello.name, sizeof wire.hello.name, name);
    mu_text_set (wire.hello.compute_class, sizeof wire.hello.compute_class, "portable");
    reign_step (reign, (struct coord_event){ .type = COORD_RECEIVE, .peer = peer, .wire = &wire });
}

static void submit (struct reign *reign)
{
    static const char spec[] = "{}";
    struct mu_wire wire = { .type = MU_WIRE_SUBMIT };
    struct mu_journal_submit read = { .workers_min = 1,
                                      .workers_max = 2,
                                      .micro_batches = 4,
                                      .global_batch = 4,
                                      .window_steps = 16,
                                      .steps = 10,
                                      .portable = true };
    read.spec = wire.submit.spec = (struct mu_blob){ spec, 2 };
    mu_text_set (read.name, sizeof read.name, "short");
    reign_step (reign, (struct coord_event){
                           .type = COORD_RECEIVE, .peer = 3, .wire = &wire, .submit = &read });
}

static void reign_play (struct reign *reign)
{
    reign_step (reign, (struct coord_event){ .type = COORD_START });
    hello (reign, 1, "w1");
    hello (reign, 2, "w2");
    submit (reign);
    reign_step (reign, (struct coord_event){ .type = COORD_TIMER });
    reign_step (reign, (struct coord_event){ .type = COORD_GONE, .peer = 2 });
}

static void reign_begin (struct reign *reign)
{
    *reign = (struct reign){ .coord = coord_create (&settings) };
    msgpack_sbuffer_init (&reign->bytes);
    msgpack_sbuffer_init (&reign->word);
}

static void reign_end (struct reign *reign)
{
    coord_destroy (&reign->coord);
    free (reign->actions.list);
    msgpack_sbuffer_destroy (&reign->bytes);
    msgpack_sbuffer_destroy (&reign->word);
}

/* One recording with a record that was replayed, events and an END. */
static void record_one (struct reign *reign)
{
    struct mu_error error;
    struct mu_journal before = { .type = MU_JOURNAL_REIGN, .reign = { .term = 7 } };
    reign_begin (reign);
    assert_int_equal (coord_apply (reign->coord, &before, &error), 0);
    assert_int_equal (frames_head (&reign->bytes, &error), 0);
    assert_int_equal (frames_open (&reign->bytes, &settings, 4711, 0, 0, &error), 0);
    assert_int_equal (frames_apply (&reign->bytes, &before, &error), 0);
    reign_play (reign);
    assert_int_equal (frames_end (&reign->bytes, 4712, reign->events, coord_digest (reign->coord),
                                  "a test's end", &error),
                      0);
}

/* How many frames are read of these bytes; -1: damage. */
static int read_all (const void *data, size_t size, bool *torn, struct mu_error *error)
{
    msgpack_zone zone;
    struct frames frames;
    struct mu_recording record;
    int count = 0, rc;
    assert_true (msgpack_zone_init (&zone, 4096));
    assert_int_equal (frames_begin (&frames, data, size, error), 0);
    while ((rc = frames_next (&frames, &record, &zone, error)) > 0)
        count++;
    msgpack_zone_destroy (&zone);
    *torn = frames.torn;
    return rc < 0 ? -1 : count;
}

/* --- the bytes -------------------------------------------------------------------------------- */

static void a_cut_is_a_torn_end (void **state)
{
    (void)state;
    struct reign reign;
    struct mu_error error;
    bool torn;
    record_one (&reign);
    const int whole = read_all (reign.bytes.data, reign.bytes.size, &torn, &error);
    assert_int_equal (whole, 1 + 1 + 6 + 1);
    assert_false (torn);
    int before = 0, between = 0;
    for (size_t size = strlen ("muster-recording 1\n"); size < reign.bytes.size; size++) {
        char *copy = test_malloc (size); /* so that a byte read behind it is noticed */
        memcpy (copy, reign.bytes.data, size);
        int count = read_all (copy, size, &torn, &error);
        test_free (copy);
        assert_true (count == before || count == before + 1);
        between += !torn;
        before = count;
    }
    assert_int_equal (between, whole); /* also where nothing but the head is there */
    assert_int_equal (before, whole - 1);
    reign_end (&reign);
}

static void a_flipped_bit_is_damage (void **state)
{
    (void)state;
    struct reign reign;
    struct mu_error error;
    bool torn;
    record_one (&reign);
    size_t head = strlen ("muster-recording 1\n");
    for (size_t at = head; at < reign.bytes.size; at++) {
        reign.bytes.data[at] ^= 4;
        int count = read_all (reign.bytes.data, reign.bytes.size, &torn, &error);
        assert_true (count < 0 || torn); /* torn: a size that is too large, or the last frame */
        if (count < 0)
            assert_non_null (strstr (error.text, "damaged at byte"));
        reign.bytes.data[at] ^= 4;
    }
    reign_end (&reign);
}

static void zeros_at_the_end_were_never_written (void **state)
{
    (void)state;
    struct reign reign;
    struct mu_error error;
    bool torn;
    char zeros[100] = { 0 };
    record_one (&reign);
    assert_int_equal (msgpack_sbuffer_write (&reign.bytes, zeros, sizeof zeros), 0);
    assert_int_equal (read_all (reign.bytes.data, reign.bytes.size, &torn, &error), 9);
    assert_true (torn);
    reign_end (&reign);
}

static void other_files_are_refused (void **state)
{
    (void)state;
    struct frames frames;
    struct mu_error error;
    assert_int_equal (frames_begin (&frames, "muster-recording 2\n", 19, &error), -1);
    assert_non_null (strstr (error.text, "newer version"));
    assert_int_equal (frames_begin (&frames, "SQLite format 3\n....", 20, &error), -1);
    assert_non_null (strstr (error.text, "no recording"));
    assert_int_equal (frames_begin (&frames, "", 0, &error), -1);
}

/* --- the player ------------------------------------------------------------------------------- */

/* Feed all frames; `bend` may change a record on the way. -1: the player refuses one. */
static int play (const struct reign *reign, struct player **player_p,
                 void (*bend) (struct mu_recording *record, int number), struct mu_error *error)
{
    msgpack_zone zone;
    struct frames frames;
    struct mu_recording record;
    struct played played;
    int rc = 0;
    *player_p = player_create ();
    assert_true (msgpack_zone_init (&zone, 4096));
    assert_int_equal (frames_begin (&frames, reign->bytes.data, reign->bytes.size, error), 0);
    for (int i = 0; rc >= 0 && frames_next (&frames, &record, &zone, error) > 0; i++) {
        if (bend)
            bend (&record, i);
        rc = player_feed (*player_p, &record, &played, error);
    }
    msgpack_zone_destroy (&zone);
    return rc < 0 ? -1 : 0;
}

static void what_is_played_is_what_was (void **state)
{
    (void)state;
    struct reign reign;
    struct player *player;
    struct mu_error error;
    struct mu_wire_job_info job;
    bool equal;
    record_one (&reign);
    assert_int_equal (play (&reign, &player, NULL, &error), 0);
    assert_int_equal (player_difference (player), 0);
    assert_int_equal (player_events (player), 6);
    assert_int_equal (player_applied (player), 1);
    assert_true (player_ended (player, &equal) && equal);
    assert_int_equal (coord_term (player_coord (player)), 8);
    assert_int_equal (coord_job_info (player_coord (player), 1, &job), 0);
    assert_string_equal (job.name, "short");
    const struct mu_wire_worker_list *list = player_workers (player);
    assert_int_equal (list->workers.count, 2);
    assert_string_equal (list->workers.items[0].name, "w1");
    assert_string_equal (player_open (player)->version, "9.8.7");
    player_destroy (&player);
    reign_end (&reign);
}

/* Looking at the state in the middle must not change what comes. */
static void asking_changes_nothing (void **state)
{
    (void)state;
    struct reign reign;
    struct mu_error error;
    struct frames frames;
    struct mu_recording record;
    struct played played;
    msgpack_zone zone;
    bool equal;
    record_one (&reign);
    struct player *player = player_create ();
    assert_true (msgpack_zone_init (&zone, 4096));
    assert_int_equal (frames_begin (&frames, reign.bytes.data, reign.bytes.size, &error), 0);
    while (frames_next (&frames, &record, &zone, &error) > 0) {
        assert_true (player_feed (player, &record, &played, &error) >= 0);
        player_workers (player);
    }
    assert_int_equal (player_difference (player), 0);
    assert_true (player_ended (player, &equal) && equal);
    msgpack_zone_destroy (&zone);
    player_destroy (&player);
    reign_end (&reign);
}

static void bend_hash (struct mu_recording *record, int number)
{
    if (number == 5)
        record->event.hash ^= 1;
}

static void bend_beat (struct mu_recording *record, int number)
{
    if (number == 0)
        record->open.beat_ms = 200;
}

static void the_first_difference_is_told (void **state)
{
    (void)state;
    struct reign reign;
    struct player *player;
    struct mu_error error;
    record_one (&reign);
    assert_int_equal (play (&reign, &player, bend_hash, &error), 0);
    assert_int_equal (player_difference (player), 4);
    player_destroy (&player);
    assert_int_equal (play (&reign, &player, bend_beat, &error), 0);
    assert_int_equal (player_difference (player), 2); /* another WELCOME */
    player_destroy (&player);
    reign_end (&reign);
}

static void bend_start (struct mu_recording *record, int number)
{
    if (number == 3)
        record->event.kind = COORD_START;
}

static void bend_first (struct mu_recording *record, int number)
{
    if (number == 2)
        record->event.kind = COORD_TIMER;
}

static void bend_time (struct mu_recording *record, int number)
{
    if (number == 4)
        record->event.now_ms = 1;
}

static void bend_submit (struct mu_recording *record, int number)
{
    if (number == 5)
        record->event.submit.size = 0;
}

static void bend_open (struct mu_recording *record, int number)
{
    if (number == 1)
        record->type = MU_RECORDING_OPEN;
}

static void bend_order (struct mu_recording *record, int number)
{
    if (number == 0)
        record->type = MU_RECORDING_END;
}

/* A core trusts its shell: what no shell does must not reach it. */
static void nonsense_does_not_reach_the_core (void **state)
{
    (void)state;
    void (*const bends[]) (struct mu_recording *, int) = { bend_start,  bend_first, bend_time,
                                                           bend_submit, bend_open,  bend_order };
    struct reign reign;
    record_one (&reign);
    for (size_t i = 0; i < sizeof bends / sizeof *bends; i++) {
        struct player *player;
        struct mu_error error;
        assert_int_equal (play (&reign, &player, bends[i], &error), -1);
        assert_int_equal (error.code, MU_BAD_INPUT);
        player_destroy (&player);
    }
    reign_end (&reign);
}

/* --- images ----------------------------------------------------------------------------------- */

static void no_field_is_forgotten (void **state)
{
    (void)state;
    size_t offset;
    const char *name = coord_image_uncovered (&offset);
    if (name)
        print_error ("image.c does not know what is at byte %zu of struct %s\n", offset, name);
    assert_null (name);
}

static void an_image_is_the_core (void **state)
{
    (void)state;
    struct reign reign;
    struct coord_image image = { 0 }, again = { 0 };
    struct mu_error error;
    record_one (&reign);
    coord_save (reign.coord, &image);
    struct coord *copy = coord_create (&settings);
    assert_int_equal (coord_load (copy, image.bytes, image.size, &error), 0);
    assert_int_equal (coord_digest (copy), coord_digest (reign.coord));
    coord_save (copy, &again);
    assert_int_equal (again.size, image.size);
    assert_memory_equal (again.bytes, image.bytes, image.size);
    coord_destroy (&copy);
    for (size_t size = 0; size < image.size; size += 1 + size / 50) { /* cut */
        copy = coord_create (&settings);
        assert_int_equal (coord_load (copy, image.bytes, size, &error), -1);
        coord_destroy (&copy);
    }
    free (image.bytes);
    free (again.bytes);
    reign_end (&reign);
}

/* --- the recorder ----------------------------------------------------------------------------- */

static char dir[64];
static uint32_t warned;

static void hear_log (void *arg, enum mu_log_level level, const struct mu_log_about *about,
                      const char *line, size_t size)
{
    (void)arg, (void)about, (void)line, (void)size;
    warned += level == MU_LOG_WARN;
}

static int begin (void **state)
{
    (void)state;
    snprintf (dir, sizeof dir, "/tmp/muster-recording-XXXXXX");
    warned = 0;
    mu_log_open ("test", "/dev/null", MU_LOG_INFO, NULL);
    mu_log_also (hear_log, NULL);
    signal (SIGXFSZ, SIG_IGN);
    return mkdtemp (dir) ? 0 : -1;
}

/* The folder's newest recording, its size, how many there are; `erase` empties it. */
static int look (char *path, size_t size, off_t *bytes, bool erase)
{
    DIR *folder = opendir (dir);
    int count = 0;
    char newest[300] = "";
    assert_non_null (folder);
    for (struct dirent *entry; (entry = readdir (folder));) {
        if (entry->d_name[0] == '.')
            continue;
        count++;
        if (strstr (entry->d_name, ".rec") && strcmp (entry->d_name, newest) > 0)
            snprintf (newest, sizeof newest, "%s", entry->d_name);
        if (erase)
            unlinkat (dirfd (folder), entry->d_name, 0);
    }
    closedir (folder);
    struct stat status = { 0 };
    snprintf (path, size, "%s/%s", dir, newest);
    if (*newest && !erase)
        assert_int_equal (stat (path, &status), 0);
    *bytes = status.st_size;
    return count;
}

static int end (void **state)
{
    (void)state;
    char path[400];
    off_t bytes;
    look (path, sizeof path, &bytes, true);
    mu_log_also (NULL, NULL);
    mu_log_close ();
    return rmdir (dir);
}

static int frames_in_file (const char *path, bool *torn)
{
    static char bytes[1 << 20];
    struct mu_error error;
    int fd = open (path, O_RDONLY);
    ssize_t size = read (fd, bytes, sizeof bytes);
    close (fd);
    assert_true (size > 0);
    return read_all (bytes, (size_t)size, torn, &error);
}

static void it_lies_on_disk_while_it_runs (void **state)
{
    (void)state;
    struct reign reign;
    char path[400];
    off_t bytes;
    bool torn;
    reign_begin (&reign);
    reign.recorder = recorder_start (dir, 1 << 20, &settings, reign.coord);
    assert_non_null (reign.recorder);
    reign_play (&reign);
    for (int i = 0; look (path, sizeof path, &bytes, false) && !bytes && i < LIMIT_MS; i++)
        usleep (1000);
    for (int i = 0; frames_in_file (path, &torn) < 7 && i < LIMIT_MS; i++)
        usleep (1000);
    assert_int_equal (frames_in_file (path, &torn), 7); /* a kill -9 now loses nothing */
    recorder_stop (&reign.recorder, "over");
    assert_null (reign.recorder);
    assert_int_equal (frames_in_file (path, &torn), 8);
    assert_false (torn);
    assert_int_equal (warned, 0);
    reign_end (&reign);
}

/* Every file in the folder can be played by itself, and decides what was recorded. */
static void play_files (uint64_t *events, uint64_t *bytes, int *images)
{
    DIR *folder = opendir (dir);
    assert_non_null (folder);
    *events = *bytes = 0;
    *images = 0;
    for (struct dirent *entry; (entry = readdir (folder));) {
        static char data[1 << 20];
        struct reign file = { .bytes = { .data = data } };
        struct player *player;
        struct mu_error error;
        bool equal;
        if (!strstr (entry->d_name, ".rec"))
            continue;
        int fd = openat (dirfd (folder), entry->d_name, O_RDONLY);
        ssize_t size = read (fd, data, sizeof data);
        close (fd);
        assert_in_range (size, 20, sizeof data - 1);
        file.bytes.size = (size_t)size;
        assert_int_equal (play (&file, &player, NULL, &error), 0);
        assert_int_equal (player_difference (player), 0);
        assert_true (player_ended (player, &equal) && equal);
        *events += player_events (player) - player_open (player)->events;
        *images += player_open (player)->files > 0;
        *bytes += (uint64_t)size;
        player_destroy (&player);
    }
    closedir (folder);
}

/* Tick, and let the writer follow, as it does in life. */
static void tick (struct reign *reign, int times)
{
    char path[400], before[400] = "";
    off_t bytes, old = 0;
    for (int i = 0; i < times; i++) {
        reign_step (reign, (struct coord_event){ .type = COORD_TIMER });
        if (i % 50)
            continue;
        for (int wait = 0; wait < LIMIT_MS && !warned; wait++) {
            look (path, sizeof path, &bytes, false);
            if (bytes != old || strcmp (path, before))
                break;
            usleep (1000);
        }
        memcpy (before, path, sizeof before);
        old = bytes;
    }
}

static void the_oldest_make_room (void **state)
{
    (void)state;
    struct reign reign;
    char notes[100];
    uint64_t events, bytes;
    int images;
    snprintf (notes, sizeof notes, "%s/notes.txt", dir); /* is not ours */
    close (open (notes, O_CREAT | O_WRONLY, 0600));
    reign_begin (&reign);
    reign.recorder = recorder_start (dir, 1 << 18, &settings, reign.coord);
    reign_play (&reign);
    tick (&reign, 200);
    recorder_stop (&reign.recorder, "over");
    play_files (&events, &bytes, &images);
    assert_int_equal (events, reign.events);
    assert_int_equal (images, 0);
    reign_end (&reign);

    reign_begin (&reign);
    reign.recorder = recorder_start (dir, 1 << 18, &settings, reign.coord);
    reign_play (&reign);
    tick (&reign, 20000);
    recorder_stop (&reign.recorder, "over");
    play_files (&events, &bytes, &images);
    assert_in_range (events, 1000, 19000); /* the oldest are gone, the other reign's too */
    assert_true (images > 2);
    assert_in_range (bytes, 1 << 16, (1 << 18) + (1 << 15)); /* the newest may be written late */
    assert_int_equal (access (notes, F_OK), 0);
    assert_int_equal (warned, 0);
    reign_end (&reign);
}

/* What takes more than half of the folder cannot be gone on from for ever. */
static void a_state_too_large (void **state)
{
    (void)state;
    struct reign reign;
    reign_begin (&reign);
    reign.recorder = recorder_start (dir, 1 << 12, &settings, reign.coord);
    reign_play (&reign);
    tick (&reign, 300);
    for (int wait = 0; wait < LIMIT_MS && !warned; wait++)
        usleep (1000);
    assert_int_equal (warned, 1);
    recorder_stop (&reign.recorder, "over");
    reign_end (&reign);
}

static void a_full_disk_ends_the_recording_alone (void **state)
{
    (void)state;
    struct reign reign;
    struct rlimit old, few;
    char path[400];
    off_t bytes;
    bool torn;
    getrlimit (RLIMIT_FSIZE, &old);
    few = (struct rlimit){ .rlim_cur = 5000, .rlim_max = old.rlim_max };
    reign_begin (&reign);
    reign.recorder = recorder_start (dir, 1 << 20, &settings, reign.coord);
    assert_int_equal (setrlimit (RLIMIT_FSIZE, &few), 0);
    reign_step (&reign, (struct coord_event){ .type = COORD_START });
    for (int i = 0; !warned && i < LIMIT_MS; i++) {
        reign_step (&reign, (struct coord_event){ .type = COORD_TIMER });
        usleep (1000);
    }
    assert_int_equal (warned, 1);
    hello (&reign, 1, "w1"); /* and the core goes on */
    recorder_stop (&reign.recorder, "over");
    setrlimit (RLIMIT_FSIZE, &old);
    look (path, sizeof path, &bytes, false);
    assert_int_equal (bytes, 5000);
    assert_true (frames_in_file (path, &torn) > 10);
    assert_int_equal (warned, 1);
    reign_end (&reign);
}

static void a_folder_that_cannot_be_made (void **state)
{
    (void)state;
    char path[400];
    snprintf (path, sizeof path, "%s/no/such/folder", dir);
    assert_null (recorder_start (path, 1 << 20, &settings, NULL));
    assert_int_equal (warned, 1);
    recorder_event (NULL, NULL, (struct mu_blob){ 0 }, NULL);
    recorder_apply (NULL, NULL);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (a_cut_is_a_torn_end),
        cmocka_unit_test (a_flipped_bit_is_damage),
        cmocka_unit_test (zeros_at_the_end_were_never_written),
        cmocka_unit_test (other_files_are_refused),
        cmocka_unit_test (what_is_played_is_what_was),
        cmocka_unit_test (asking_changes_nothing),
        cmocka_unit_test (the_first_difference_is_told),
        cmocka_unit_test (nonsense_does_not_reach_the_core),
        cmocka_unit_test (no_field_is_forgotten),
        cmocka_unit_test (an_image_is_the_core),
        cmocka_unit_test_setup_teardown (it_lies_on_disk_while_it_runs, begin, end),
        cmocka_unit_test_setup_teardown (the_oldest_make_room, begin, end),
        cmocka_unit_test_setup_teardown (a_state_too_large, begin, end),
        cmocka_unit_test_setup_teardown (a_full_disk_ends_the_recording_alone, begin, end),
        cmocka_unit_test_setup_teardown (a_folder_that_cannot_be_made, begin, end),
    };
    return cmocka_run_group_tests_name ("recording", tests, NULL, NULL);
}
