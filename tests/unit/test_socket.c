/* SPDX-License-Identifier: Apache-2.0 */
/* test_socket.c - who is behind which number, over real connections on loopback */
#include "coordinator/io_socket.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <zmq.h>

#include <cmocka.h>

#define LIMIT_MS 10000
#define PLACES   0xfffffu /* the low bits of a number are its place in the table */

struct bed {
    char dir[64], endpoint[96];
    struct mu_sockets *sockets;
    void *context;
};

static int open_bed (void **state)
{
    static struct bed bed;
    struct mu_error error = { .text = "" };
    const char *endpoint = bed.endpoint;
    strcpy (bed.dir, "/tmp/muster-socket-XXXXXX");
    if (!mkdtemp (bed.dir))
        return -1;
    snprintf (bed.endpoint, sizeof bed.endpoint, "ipc://%s/socket", bed.dir);
    if (sockets_open (&bed.sockets, &endpoint, 1, false, &error)) {
        print_error ("%s\n", error.text);
        return -1;
    }
    bed.context = zmq_ctx_new ();
    *state = &bed;
    return 0;
}

static int close_bed (void **state)
{
    struct bed *bed = *state;
    char path[128];
    sockets_close (&bed->sockets);
    zmq_ctx_term (bed->context);
    snprintf (path, sizeof path, "%s/socket", bed->dir);
    unlink (path);
    return rmdir (bed->dir);
}

static void *connect_peer (const struct bed *bed, const char *name)
{
    int none = 0;
    void *socket = zmq_socket (bed->context, ZMQ_DEALER);
    zmq_setsockopt (socket, ZMQ_LINGER, &none, sizeof none);
    if (name)
        zmq_setsockopt (socket, ZMQ_ROUTING_ID, name, strlen (name));
    assert_int_equal (zmq_connect (socket, bed->endpoint), 0);
    return socket;
}

static void wait_a_little (void)
{
    struct timespec pause = { 0, 200000 };
    nanosleep (&pause, NULL);
}

/* The next message that comes, and whose it is. */
static uint32_t must_receive (const struct bed *bed, const char *text)
{
    uint32_t peer = UINT32_MAX;
    const void *data;
    size_t size;
    for (int ms = 0; ms < 5 * LIMIT_MS; ms++) {
        if (sockets_receive (bed->sockets, &peer, &data, &size)) {
            assert_int_equal (size, strlen (text));
            assert_memory_equal (data, text, size);
            return peer;
        }
        wait_a_little ();
    }
    fail_msg ("no message comes");
    return peer;
}

static void must_be_gone (const struct bed *bed, uint32_t wanted)
{
    uint32_t peer;
    for (int ms = 0; ms < 5 * LIMIT_MS; ms++) {
        if (sockets_gone (bed->sockets, &peer)) {
            assert_int_equal (peer, wanted);
            return;
        }
        wait_a_little ();
    }
    fail_msg ("nobody is gone");
}

static void say (void *socket, const char *text)
{
    assert_int_equal (zmq_send (socket, text, strlen (text), 0), strlen (text));
}

/* Clients come and go all day; the table must not keep each of them. */
static void clients_leave_no_trace (void **state)
{
    const struct bed *bed = *state;
    uint32_t before = UINT32_MAX;
    for (int i = 0; i < 300; i++) {
        void *client = connect_peer (bed, NULL);
        say (client, "ping");
        uint32_t peer = must_receive (bed, "ping");
        assert_int_equal (peer & PLACES, 0);
        assert_int_not_equal (peer, before);
        zmq_close (client);
        must_be_gone (bed, peer);
        before = peer;
    }
    assert_int_equal (sockets_peers (bed->sockets), 0);
}

/* What is dropped must not be remembered either. */
static void nonsense_leaves_no_trace (void **state)
{
    const struct bed *bed = *state;
    uint32_t peer;
    const void *data;
    size_t size;
    void *client = connect_peer (bed, NULL);
    assert_int_equal (zmq_send (client, "a", 1, ZMQ_SNDMORE), 1);
    assert_int_equal (zmq_send (client, "b", 1, 0), 1);
    for (int ms = 0; ms < 5 * LIMIT_MS && !sockets_dropped (bed->sockets); ms++) {
        assert_int_equal (sockets_receive (bed->sockets, &peer, &data, &size), 0);
        wait_a_little ();
    }
    assert_int_equal (sockets_dropped (bed->sockets), 1);
    assert_int_equal (sockets_peers (bed->sockets), 1);
    zmq_close (client);
    must_be_gone (bed, 0);
    assert_int_equal (sockets_peers (bed->sockets), 0);
}

/* An answer that was on its way to one client must not reach the one that has its place now. */
static void a_late_word_reaches_nobody (void **state)
{
    const struct bed *bed = *state;
    char text[8] = "";
    void *first = connect_peer (bed, NULL);
    say (first, "one");
    uint32_t old = must_receive (bed, "one");
    zmq_close (first);
    must_be_gone (bed, old);
    void *second = connect_peer (bed, NULL);
    say (second, "two");
    uint32_t new = must_receive (bed, "two");
    assert_int_equal (new &PLACES, old & PLACES);
    sockets_send (bed->sockets, old, "old", 3);
    sockets_send (bed->sockets, new, "new", 3);
    assert_int_equal (zmq_recv (second, text, sizeof text, 0), 3);
    assert_string_equal (text, "new");
    zmq_close (second);
    must_be_gone (bed, new);
}

/* One large word for two peers, then a small one: each gets its own. */
static void a_large_word_reaches_all (void **state)
{
    const struct bed *bed = *state;
    static char large[3 * SOCKETS_SHARED_MIN], heard[sizeof large + 1];
    void *client[2];
    uint32_t number[2];
    memset (large, 'x', sizeof large);
    for (int i = 0; i < 2; i++) {
        client[i] = connect_peer (bed, NULL);
        say (client[i], "hello");
        number[i] = must_receive (bed, "hello");
    }
    sockets_send (bed->sockets, number[0], large, sizeof large);
    sockets_send_again (bed->sockets, number[1]);
    sockets_send (bed->sockets, number[0], "small", 5);
    for (int i = 0; i < 2; i++) {
        assert_int_equal (zmq_recv (client[i], heard, sizeof heard, 0), sizeof large);
        assert_memory_equal (heard, large, sizeof large);
    }
    assert_int_equal (zmq_recv (client[0], heard, sizeof heard, 0), 5);
    sockets_send_again (bed->sockets, number[1]); /* nothing large was sent last */
    assert_int_equal (sockets_dropped (bed->sockets), 1);
    for (int i = 0; i < 2; i++)
        zmq_close (client[i]);
}

/* A worker is the same one when it comes back, whoever came in between. */
static void a_name_keeps_its_number (void **state)
{
    const struct bed *bed = *state;
    uint32_t number = UINT32_MAX, peer;
    for (int i = 0; i < 3; i++) {
        void *worker = connect_peer (bed, "w0"), *client = connect_peer (bed, NULL);
        say (worker, "hello");
        peer = must_receive (bed, "hello");
        assert_string_equal (sockets_name (bed->sockets, peer), "w0");
        if (i > 0)
            assert_int_equal (peer, number);
        number = peer;
        say (client, "jobs");
        peer = must_receive (bed, "jobs");
        assert_string_equal (sockets_name (bed->sockets, peer), "");
        zmq_close (client);
        must_be_gone (bed, peer);
        zmq_close (worker);
        must_be_gone (bed, number);
    }
    assert_int_equal (sockets_peers (bed->sockets), 1);
}

/* A worker that takes its own place again before its old connection ended is not gone. */
static void a_return_is_no_end (void **state)
{
    const struct bed *bed = *state;
    void *before = connect_peer (bed, "w0");
    say (before, "one");
    uint32_t number = must_receive (bed, "one"), peer;
    void *after = connect_peer (bed, "w0");
    say (after, "two");
    assert_int_equal (must_receive (bed, "two"), number);
    zmq_close (before);
    for (int i = 0; i < 500; i++) {
        assert_int_equal (sockets_gone (bed->sockets, &peer), 0);
        wait_a_little ();
    }
    zmq_close (after);
    must_be_gone (bed, number);
}

/* Descriptors are used again at once: the newcomer on one must not be taken for who left it. */
static void a_newcomer_is_not_gone (void **state)
{
    const struct bed *bed = *state;
    uint32_t peer;
    for (int i = 0; i < 40; i++) {
        void *client = connect_peer (bed, NULL);
        say (client, "one");
        uint32_t old = must_receive (bed, "one");
        zmq_close (client);
        for (int ms = 0; ms < 25; ms++) /* its descriptor is closed, and we have not heard of it */
            wait_a_little ();
        void *worker = connect_peer (bed, "w0");
        say (worker, "two");
        uint32_t new = must_receive (bed, "two");
        must_be_gone (bed, old);
        assert_int_equal (sockets_gone (bed->sockets, &peer), 0);
        zmq_close (worker);
        must_be_gone (bed, new);
    }
}

static void beyond_loopback_only_in_words (void **state)
{
    (void)state;
    struct mu_sockets *sockets = NULL;
    struct mu_error error;
    const char *endpoint = "tcp://0.0.0.0:0";
    assert_int_equal (sockets_open (&sockets, &endpoint, 1, false, &error), -1);
    assert_int_equal (error.code, MU_NO_PERMISSION);
    assert_non_null (strstr (error.text, "--allow-unauthenticated"));
}

static void a_port_in_use_is_named (void **state)
{
    const struct bed *bed = *state;
    struct mu_sockets *sockets = NULL;
    struct mu_error error;
    void *other = zmq_socket (bed->context, ZMQ_DEALER);
    char endpoint[64];
    const char *list = endpoint;
    size_t size = sizeof endpoint;
    assert_int_equal (zmq_bind (other, "tcp://127.0.0.1:*"), 0);
    zmq_getsockopt (other, ZMQ_LAST_ENDPOINT, endpoint, &size);
    assert_int_equal (sockets_open (&sockets, &list, 1, false, &error), -1);
    assert_int_equal (error.code, MU_UNAVAILABLE);
    assert_non_null (strstr (error.text, endpoint));
    zmq_close (other);
}

#define SOCKET_TEST(test) cmocka_unit_test_setup_teardown (test, open_bed, close_bed)

int main (void)
{
    const struct CMUnitTest tests[] = {
        SOCKET_TEST (clients_leave_no_trace),     SOCKET_TEST (nonsense_leaves_no_trace),
        SOCKET_TEST (a_late_word_reaches_nobody), SOCKET_TEST (a_large_word_reaches_all),
        SOCKET_TEST (a_name_keeps_its_number),    SOCKET_TEST (a_return_is_no_end),
        SOCKET_TEST (a_newcomer_is_not_gone),     cmocka_unit_test (beyond_loopback_only_in_words),
        SOCKET_TEST (a_port_in_use_is_named),
    };
    alarm (120); /* a socket that a failure left open holds the end of its context */
    return cmocka_run_group_tests (tests, NULL, NULL);
}
