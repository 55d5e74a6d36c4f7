/* SPDX-License-Identifier: Apache-2.0 */
/* test_register.c - what io_register.h promises, asked of all three registers in the same way
 *
 * Several processes swap at once, while whatever the register rests on is disturbed: witnesses are
 * killed, an API server loses answers, delays them and makes conflicts up. What they saw is
 * gathered in shared memory and must be one history: a revision has one value and at most one
 * winner, follows the one before, and nobody reads an older one than was over when the call began. */
#include "coordinator/io_register.h"
#include "coordinator/io_register_kinds.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define WRITERS       4
#define SWAPS         20 /* each tries so many */
#define REVISIONS_MAX 400
#define LIMIT_MS      20000
#define PEERS         3

struct history {
    _Atomic uint64_t floor;                 /* the newest revision that some ended call saw */
    _Atomic uint64_t leader[REVISIONS_MAX]; /* whose value a revision is; 0: nobody saw it yet */
    _Atomic uint64_t before[REVISIONS_MAX]; /* whose value it followed */
    _Atomic int winners[REVISIONS_MAX];
    _Atomic uint64_t refused[WRITERS][SWAPS][2]; /* revision and leader of what is not in */
    _Atomic int won, conflicts, unknown, wrong;
    char why[MU_ERROR_TEXT_MAX];
};

static char dir[64], url[256], peer[PEERS][128];
static const char *peers[PEERS] = { peer[0], peer[1], peer[2] };
static pid_t witness[PEERS], server;
static struct history *history;

/* --- one writer -------------------------------------------------------------------------------- */

static void wrong (const char *why)
{
    if (!atomic_fetch_add (&history->wrong, 1))
        snprintf (history->why, sizeof history->why, "%s", why);
}

static struct io_register *must_open (void)
{
    struct mu_error error = { .text = "" };
    struct io_register *reg = NULL;
    const struct register_options options = { url, peers, PEERS, (uint64_t)getpid () };
    if (register_open (&reg, &options, &error))
        fail_msg ("%s", error.text);
    return reg;
}

static struct reign make_next (const struct reign *present, uint64_t leader)
{
    struct reign next;
    memset (&next, 0, sizeof next);
    next.cluster = present->leader ? present->leader : 1; /* what it follows */
    next.term = present->term + 1;
    next.revision = present->revision + 1;
    next.leader = leader;
    next.in_sync_count = 1;
    next.in_sync[0] = leader;
    strcpy (next.peer, "tcp://10.0.0.1:7601");
    strcpy (next.client, "tcp://10.0.0.1:7600");
    return next;
}

static void saw (const struct reign *value, uint64_t floor)
{
    uint64_t nobody = 0;
    if (value->revision < floor)
        wrong ("an older value came back");
    if (value->revision >= REVISIONS_MAX)
        wrong ("too many revisions");
    else if (value->revision) {
        if (!atomic_compare_exchange_strong (&history->leader[value->revision], &nobody,
                                             value->leader) &&
            nobody != value->leader)
            wrong ("one revision, two values");
        atomic_store (&history->before[value->revision], value->cluster);
    }
    uint64_t newest = atomic_load (&history->floor);
    while (newest < value->revision &&
           !atomic_compare_exchange_weak (&history->floor, &newest, value->revision)) {
    }
}

static bool read_it (struct io_register *reg, struct reign *value)
{
    const uint64_t floor = atomic_load (&history->floor);
    struct mu_error error = { .text = "" };
    for (int tries = 0; tries < 20; tries++) {
        if (!register_read (reg, LIMIT_MS, value, &error)) {
            saw (value, floor);
            return true;
        }
        if (error.code != MU_UNAVAILABLE && error.code != MU_TRY_AGAIN)
            break;
    }
    wrong (error.text);
    return false;
}

static void swap_it (struct io_register *reg, const struct reign *present, const struct reign *next,
                     int writer, int number)
{
    struct mu_error error = { .text = "" };
    const uint64_t floor = atomic_load (&history->floor);
    if (!register_swap (reg, LIMIT_MS, present, next, &error)) {
        if (next->revision < floor)
            wrong ("a value was swapped in under a newer one");
        saw (next, 0);
        if (atomic_fetch_add (&history->winners[next->revision], 1))
            wrong ("two winners");
        atomic_fetch_add (&history->won, 1);
    } else if (error.code == MU_CONFLICT) {
        atomic_store (&history->refused[writer][number][0], next->revision);
        atomic_store (&history->refused[writer][number][1], next->leader);
        atomic_fetch_add (&history->conflicts, 1);
    } else if (error.code == MU_UNAVAILABLE || error.code == MU_TRY_AGAIN)
        atomic_fetch_add (&history->unknown, 1);
    else
        wrong (error.text);
}

static void write_all (int writer)
{
    struct io_register *reg = must_open ();
    for (int i = 0; i < SWAPS && !atomic_load (&history->wrong); i++) {
        struct reign present, next;
        if (!read_it (reg, &present))
            break;
        next = make_next (&present, (uint64_t)(writer + 1) * 1000 + (uint64_t)i + 10);
        if (next.revision < REVISIONS_MAX)
            swap_it (reg, &present, &next, writer, i);
    }
    register_close (&reg);
}

/* --- all of them ------------------------------------------------------------------------------- */

static void check_history (void)
{
    const uint64_t newest = atomic_load (&history->floor);
    if (atomic_load (&history->wrong))
        fail_msg ("%s", history->why);
    for (uint64_t r = 2; r <= newest; r++)
        if (atomic_load (&history->leader[r]) && atomic_load (&history->leader[r - 1]))
            assert_int_equal (atomic_load (&history->before[r]),
                              atomic_load (&history->leader[r - 1]));
    for (int i = 0; i < WRITERS * SWAPS; i++) {
        const uint64_t revision = history->refused[i / SWAPS][i % SWAPS][0];
        if (revision)
            assert_int_not_equal (atomic_load (&history->leader[revision]),
                                  history->refused[i / SWAPS][i % SWAPS][1]);
    }
    print_message ("# %d swapped, %d conflicts, %d unknown, revision %d\n",
                   atomic_load (&history->won), atomic_load (&history->conflicts),
                   atomic_load (&history->unknown), (int)newest);
    assert_true (atomic_load (&history->won) > 0);
    assert_true (newest >= (uint64_t)atomic_load (&history->won));
}

static bool wait_a_little (pid_t pid)
{
    const struct timespec little = { .tv_nsec = 20000000 };
    nanosleep (&little, NULL);
    return waitpid (pid, NULL, WNOHANG) == 0;
}

static void run_writers (void (*disturb) (void))
{
    pid_t writer[WRITERS];
    history =
        mmap (NULL, sizeof *history, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal (history, MAP_FAILED);
    for (int i = 0; i < WRITERS; i++)
        if (!(writer[i] = fork ())) {
            write_all (i);
            _exit (0);
        }
    for (int i = 0; i < WRITERS; i++)
        while (wait_a_little (writer[i]))
            disturb ();
    check_history ();
    munmap (history, sizeof *history);
}

static void nothing (void) {}

/* Where nobody else is: read, swap, a stale swap, the same again. */
static void check_alone (void)
{
    struct mu_error error = { .text = "" };
    struct reign value, first, second;
    struct io_register *reg = must_open ();
    if (register_read (reg, LIMIT_MS, &value, &error))
        fail_msg ("%s", error.text);
    assert_int_equal (value.term, 0);
    first = make_next (&value, 7);
    if (register_swap (reg, LIMIT_MS, &value, &first, &error))
        fail_msg ("%s", error.text);
    second = make_next (&value, 8);
    assert_int_equal (register_swap (reg, LIMIT_MS, &value, &second, &error), -1);
    assert_int_equal (error.code, MU_CONFLICT);
    assert_int_equal (register_read (reg, LIMIT_MS, &value, &error), 0);
    assert_memory_equal (&value, &first, sizeof value);
    second = make_next (&value, 9);
    second.revision++;
    assert_int_equal (register_swap (reg, LIMIT_MS, &value, &second, &error), -1);
    assert_int_equal (error.code, MU_INTERNAL);
    register_close (&reg);
}

static int make_dir (void **state)
{
    (void)state;
    strcpy (dir, "/tmp/muster-register-XXXXXX");
    if (!mkdtemp (dir))
        return -1;
    for (int i = 0; i < PEERS; i++)
        snprintf (peer[i], sizeof peer[i], "ipc://%s/peer-%d", dir, i);
    return 0;
}

static void end (pid_t *pid)
{
    if (*pid > 0) {
        kill (*pid, SIGKILL);
        waitpid (*pid, NULL, 0);
    }
    *pid = 0;
}

static int remove_dir (void **state)
{
    (void)state;
    char command[128];
    for (int i = 0; i < PEERS; i++)
        end (&witness[i]);
    end (&server);
    snprintf (command, sizeof command, "rm -rf %s", dir);
    return system (command);
}

/* --- file: ------------------------------------------------------------------------------------- */

static void use_file (void) { snprintf (url, sizeof url, "file:%s/reign", dir); }

static void write_file (const char *name, const char *text)
{
    char path[128];
    snprintf (path, sizeof path, "%s/%s", dir, name);
    FILE *file = fopen (path, "w");
    assert_non_null (file);
    fputs (text, file);
    fclose (file);
}

static void file_alone (void **state)
{
    (void)state;
    use_file ();
    check_alone ();
}

static void file_together (void **state)
{
    (void)state;
    use_file ();
    run_writers (nothing);
}

static void expect_read (enum mu_code code, const char *word, uint32_t limit_ms)
{
    struct mu_error error = { .text = "" };
    struct reign value;
    struct io_register *reg = must_open ();
    assert_int_equal (register_read (reg, limit_ms, &value, &error), -1);
    if (error.code != code || !strstr (error.text, word))
        fail_msg ("%s: %s", mu_code_name ((int)error.code), error.text);
    register_close (&reg);
}

static void file_garbage (void **state)
{
    (void)state;
    struct reign none = { 0 }, value = make_next (&none, 7);
    char text[REIGN_TEXT_MAX];
    use_file ();
    write_file ("reign.1", "");
    expect_read (MU_BAD_INPUT, "no bytes", LIMIT_MS);
    write_file ("reign.1", "muster-reign 1\nterm 4\n");
    expect_read (MU_BAD_INPUT, "damaged", LIMIT_MS);
    const size_t size = reign_encode (&value, text);
    assert_true (size > 0);
    text[size] = '\0';
    write_file ("reign.2", text);
    expect_read (MU_BAD_INPUT, "renamed", LIMIT_MS);
    text[size / 2] ^= 1;
    write_file ("reign.2", text);
    expect_read (MU_BAD_INPUT, "sum is wrong", LIMIT_MS);
}

/* A FIFO that nobody writes to is storage that hangs. */
static void file_hangs (void **state)
{
    (void)state;
    char path[128];
    struct mu_error error = { .text = "" };
    struct reign value;
    use_file ();
    snprintf (path, sizeof path, "%s/reign.1", dir);
    assert_int_equal (mkfifo (path, 0600), 0);
    struct io_register *reg = must_open ();
    for (int i = 0; i < 2; i++) {
        assert_int_equal (register_read (reg, 100, &value, &error), -1);
        assert_int_equal (error.code, MU_UNAVAILABLE);
    }
    assert_non_null (strstr (error.text, "still"));
    register_close (&reg); /* and the thread that is left behind frees the rest */
    const int fd = open (path, O_WRONLY);
    close (fd);
}

/* A writer that slept since revision 1 finds that name free again, and must not think it won. */
static void file_sleeper (void **state)
{
    (void)state;
    struct mu_error error = { .text = "" };
    struct reign none = { 0 }, value = { 0 }, next = make_next (&none, 5);
    use_file ();
    struct io_register *reg = must_open ();
    for (uint64_t i = 0; i < 40; i++, value = next) {
        next = make_next (&value, 100 + i);
        assert_int_equal (register_swap (reg, LIMIT_MS, &value, &next, &error), 0);
    }
    next = make_next (&none, 6);
    assert_int_equal (register_swap (reg, LIMIT_MS, &none, &next, &error), -1);
    assert_int_equal (error.code, MU_TRY_AGAIN);
    assert_int_equal (register_read (reg, LIMIT_MS, &next, &error), 0);
    assert_memory_equal (&value, &next, sizeof value);
    register_close (&reg);
}

/* --- majority: --------------------------------------------------------------------------------- */

static void start_witness (int number)
{
    char folder[128], program[PATH_MAX], *build = getenv ("top_builddir");
    snprintf (folder, sizeof folder, "%s/witness-%d", dir, number);
    snprintf (program, sizeof program, "%s/muster-coordinator", build ? build : ".");
    if (!(witness[number] = fork ())) {
        execl (program, program, "--witness", "--dir", folder, "--peer-listen", peer[number],
               "--log-level", "error", (char *)NULL);
        _exit (127);
    }
}

static void use_majority (void)
{
    strcpy (url, "majority:");
    for (int i = 0; i < PEERS; i++)
        start_witness (i);
}

static void forget_disk (int number)
{
    char path[128];
    snprintf (path, sizeof path, "%s/witness-%d/acceptor", dir, number);
    unlink (path);
}

static bool votes_again (int number)
{
    char path[128], text[4096] = "";
    const struct timespec little = { .tv_nsec = 20000000 };
    nanosleep (&little, NULL);
    snprintf (path, sizeof path, "%s/witness-%d/acceptor", dir, number);
    FILE *file = fopen (path, "r");
    const size_t size = file ? fread (text, 1, sizeof text - 1, file) : 0;
    if (file)
        fclose (file);
    text[size] = '\0';
    return strstr (text, "votes 1") != NULL;
}

/* One witness at a time dies and comes back. */
static void kill_one (void)
{
    static int turn;
    if (++turn % 10)
        return;
    end (&witness[turn / 10 % PEERS]);
    start_witness (turn / 10 % PEERS);
}

static void majority_alone (void **state)
{
    (void)state;
    use_majority ();
    check_alone ();
}

static void majority_together (void **state)
{
    (void)state;
    use_majority ();
    run_writers (kill_one);
}

/* One after the other loses its disk; each is taken in again before the next goes, as its
 * successor's vote is needed for the round that follows. */
static void majority_loses_every_disk (void **state)
{
    (void)state;
    struct mu_error error = { .text = "" };
    struct reign none = { 0 }, value, next = make_next (&none, 5);
    use_majority ();
    struct io_register *reg = must_open ();
    if (register_swap (reg, LIMIT_MS, &none, &next, &error))
        fail_msg ("%s", error.text);
    for (int i = 0; i < PEERS; i++) {
        end (&witness[i]);
        forget_disk (i);
        start_witness (i);
        const int other = (i + 1) % PEERS;
        for (int rounds = 0; !votes_again (i); rounds++)
            if (rounds == 1000 || register_read (reg, LIMIT_MS, &value, &error))
                fail_msg ("disk %d: %s", i, error.text);
        end (&witness[other]); /* so the newcomer must vote */
        if (register_read (reg, LIMIT_MS, &value, &error))
            fail_msg ("without witness %d: %s", other, error.text);
        assert_memory_equal (&value, &next, sizeof value);
        start_witness (other);
    }
    register_close (&reg);
}

static void majority_gone (void **state)
{
    (void)state;
    use_majority ();
    check_alone ();
    end (&witness[0]);
    end (&witness[2]);
    expect_read (MU_UNAVAILABLE, "no majority of 3", 700);
}

static void majority_never_whole (void **state)
{
    (void)state;
    use_majority ();
    end (&witness[1]);
    expect_read (MU_UNAVAILABLE, "all of --peers must run", 700);
}

/* --- lease: ------------------------------------------------------------------------------------ */

static bool read_port (char *port, size_t size)
{
    char path[128];
    snprintf (path, sizeof path, "%s/port", dir);
    FILE *file = fopen (path, "r");
    const bool there = file && fgets (port, (int)size, file);
    if (file)
        fclose (file);
    return there;
}

static void use_lease (void)
{
#ifndef HAVE_CURL
    print_message ("# no libcurl, no Lease\n");
    skip ();
#endif
    char script[PATH_MAX], port[16] = "";
    int status = 0;
    const char *source = getenv ("top_srcdir");
    snprintf (script, sizeof script, "%s/tests/system/fake_kubernetes.py", source ? source : ".");
    if (!(server = fork ())) {
        execlp ("python3", "python3", script, dir, (char *)NULL);
        _exit (127);
    }
    const struct timespec little = { .tv_nsec = 20000000 };
    for (int tries = 0; !read_port (port, sizeof port); tries++) {
        if (waitpid (server, &status, WNOHANG) == server) {
            server = 0;
            if (WEXITSTATUS (status) != 77)
                fail_msg ("%s ended", script);
            print_message ("# openssl is not installed\n");
            skip ();
        }
        assert_true (tries < 3000);
        nanosleep (&little, NULL);
    }
    setenv ("KUBERNETES_SERVICE_HOST", "127.0.0.1", 1);
    setenv ("KUBERNETES_SERVICE_PORT", port, 1);
    setenv ("MUSTER_SERVICE_ACCOUNT", dir, 1);
    strcpy (url, "lease:training/muster");
}

static void lease_alone (void **state)
{
    (void)state;
    use_lease ();
    check_alone ();
}

static void lease_together (void **state)
{
    (void)state;
    use_lease ();
    write_file ("faults",
                "{\"conflict\": 5, \"refuse\": 5, \"lose\": 10, \"twice\": 10, \"delay\": 20}");
    run_writers (nothing);
}

static void lease_garbage (void **state)
{
    (void)state;
    static const char *const garbage[][2] = {
        { "\"\"", "no Lease" },
        { "{}", "no Lease" },
        { "{\"kind\": \"Lease\", \"metadata\": {\"resourceVersion\": \"1\"}, "
          "\"spec\": {\"holderIdentity\": \"kube-scheduler\"}}",
          "somebody else's" },
        { "{\"kind\": \"Lease\", \"metadata\": {\"resourceVersion\": \"1\", "
          "\"annotations\": {\"muster/reign\": \"muster-reign 1\\nterm 3\"}}}",
          "muster-reign" },
    };
    use_lease ();
    for (size_t i = 0; i < sizeof garbage / sizeof *garbage; i++) {
        char text[1024], *at = text + sprintf (text, "{\"garbage\": \"");
        for (const char *from = garbage[i][0]; *from; from++) {
            if (*from == '"' || *from == '\\')
                *at++ = '\\';
            *at++ = *from;
        }
        strcpy (at, "\"}");
        write_file ("faults", text);
        expect_read (MU_BAD_INPUT, garbage[i][1], LIMIT_MS);
    }
}

static void lease_without_rights (void **state)
{
    (void)state;
    use_lease ();
    write_file ("token", "wrong-token\n");
    expect_read (MU_NO_PERMISSION, "Unauthorized", LIMIT_MS);
    write_file ("token", "wrong\nInjected: header\n");
    expect_read (MU_BAD_INPUT, "is no token", LIMIT_MS);
    char path[128];
    snprintf (path, sizeof path, "%s/token", dir);
    unlink (path);
    expect_read (MU_NO_INPUT, "cannot be read", LIMIT_MS);
}

static void lease_gone (void **state)
{
    (void)state;
    use_lease ();
    kill (server, SIGSTOP);
    expect_read (MU_UNAVAILABLE, "did not answer", 500);
    kill (server, SIGCONT);
    check_alone ();
    write_file ("ca.crt", "");
    expect_read (MU_UNAVAILABLE, "did not answer", LIMIT_MS);
}

/* --- the module of lease: ---------------------------------------------------------------------- */

static void expect_refusal (const char *wrong_url, const char *what)
{
    struct mu_error error = { .text = "" };
    struct io_register *reg;
    const struct register_options options = { wrong_url, peers, PEERS, 1 };
    assert_int_equal (register_open (&reg, &options, &error), -1);
    assert_int_equal (error.code, MU_CONFIG);
    assert_null (reg);
    if (!strstr (error.text, what) || !strstr (error.text, wrong_url))
        fail_msg ("%s: %s", wrong_url, error.text);
}

#ifdef HAVE_CURL
/* The module that the tests use, but of another version. */
static void make_other_version (void)
{
    static char bytes[1 << 20];
    static const char version[] = PACKAGE_VERSION;
    char path[PATH_MAX];
    const char *build = getenv ("MUSTER_LIBEXECDIR");
    snprintf (path, sizeof path, "%s/muster-lease.so", build ? build : ".");
    FILE *file = fopen (path, "rb");
    assert_non_null (file);
    const size_t size = fread (bytes, 1, sizeof bytes, file);
    fclose (file);
    char *at = memmem (bytes, size, version, sizeof version);
    assert_non_null (at);
    at[sizeof version - 2]++;
    snprintf (path, sizeof path, "%s/muster-lease.so", dir);
    file = fopen (path, "wb");
    assert_non_null (file);
    assert_int_equal (fwrite (bytes, 1, size, file), size);
    assert_int_equal (fclose (file), 0);
}
#endif

/* Some other library: cmocka, which this program has loaded. */
static void make_other_library (void)
{
    char path[128];
    Dl_info info;
    void *address = dlsym (RTLD_DEFAULT, "_cmocka_run_group_tests");
    assert_int_not_equal (dladdr (address, &info), 0);
    snprintf (path, sizeof path, "%s/muster-lease.so", dir);
    unlink (path);
    assert_int_equal (symlink (info.dli_fname, path), 0);
}

/* The loader knows a library by its name: each has another. */
static void look_into (const char *below)
{
    char folder[128];
    snprintf (folder, sizeof folder, "%s%s", dir, below);
    setenv ("MUSTER_LIBEXECDIR", folder, 1);
}

static void lease_modules (void **state)
{
    (void)state;
    const char *build = getenv ("MUSTER_LIBEXECDIR");
    char *before = build ? strdup (build) : NULL;
#ifdef HAVE_CURL
    make_other_version ();
    look_into ("");
    expect_refusal ("lease:a/b", "of another version");
#endif
    make_other_library ();
    look_into ("/.");
    expect_refusal ("lease:a/b", "exports no " REGISTER_MODULE_SYMBOL);
    write_file ("muster-lease.so.txt", "no module");
    char from[128], to[128];
    snprintf (from, sizeof from, "%s/muster-lease.so.txt", dir);
    snprintf (to, sizeof to, "%s/muster-lease.so", dir);
    assert_int_equal (rename (from, to), 0);
    look_into ("/./.");
    expect_refusal ("lease:a/b", "cannot be loaded");
    assert_int_equal (unlink (to), 0);
    if (access (MU_LIBEXECDIR "/muster-lease.so", F_OK))
        expect_refusal ("lease:a/b", "muster-lease.so is not in " MU_LIBEXECDIR);
    if (before)
        setenv ("MUSTER_LIBEXECDIR", before, 1);
    else
        unsetenv ("MUSTER_LIBEXECDIR");
    free (before);
}

static void urls (void **state)
{
    (void)state;
    static const char *const wrong_urls[] = {
        "",
        "etcd:x",
        "file:",
        "file:reign",
        "file:/tmp/",
        "majority:x",
        "lease:",
        "lease:a",
        "lease:a/",
        "lease:/b",
        "lease:a/b/c",
        "lease:A/b",
        "lease:a/../b",
        "lease:a/b?c",
    };
    setenv ("KUBERNETES_SERVICE_HOST", "127.0.0.1", 1);
    for (size_t i = 0; i < sizeof wrong_urls / sizeof *wrong_urls; i++)
        expect_refusal (wrong_urls[i], "--register");
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown (file_alone, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown (file_together, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown (file_garbage, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown (file_hangs, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown (file_sleeper, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown (majority_alone, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown (majority_together, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown (majority_loses_every_disk, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown (majority_gone, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown (majority_never_whole, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown (lease_alone, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown (lease_together, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown (lease_garbage, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown (lease_without_rights, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown (lease_gone, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown (lease_modules, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown (urls, make_dir, remove_dir),
    };
    signal (SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests (tests, NULL, NULL);
}
