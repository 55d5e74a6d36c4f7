/* SPDX-License-Identifier: Apache-2.0 */
/* io_register_lease.c - `--register lease:NAMESPACE/NAME`: a Kubernetes Lease, through libcurl
 *
 * A module, muster-lease.so: nobody else pays for libcurl and what it brings (decision 0037).
 * A read without a resourceVersion is a read of etcd's newest; a write with one is a compare-and-swap.
 * Each request has a connection of its own: on one that was kept, libcurl would send a request again
 * that may have been carried out, and the answer to the second would say that it was not. The
 * service account's token is read each time, for it rotates, and is nowhere else. */
#include "io_register_kinds.h"

#include "config.h"
#include "io_files.h"
#include "lease_json.h"

#include <curl/curl.h>
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ACCOUNT_DIR "/var/run/secrets/kubernetes.io/serviceaccount"
#define TOKEN_MAX   65536u
#define ANSWER_MAX  (1u << 20)
#define URL_MAX     1024

enum { HTTP_OK = 200, HTTP_CREATED = 201, HTTP_NOT_FOUND = 404, HTTP_CONFLICT = 409 };

struct lease {
    char name_space[64], name[254];
    char all[URL_MAX], one[URL_MAX]; /* the URLs of all Leases there, and of this one */
    char token_path[512], ca_path[512];
};

struct exchange {
    char *answer;
    size_t size;
    long status;
    bool too_large;
};

/* --- HTTPS ------------------------------------------------------------------------------------- */

static size_t collect (char *data, size_t unit, size_t count, void *arg)
{
    struct exchange *exchange = arg;
    const size_t size = unit * count;
    char *larger = size <= ANSWER_MAX - exchange->size
                       ? realloc (exchange->answer, exchange->size + size + 1)
                       : NULL;
    exchange->too_large |= !larger;
    if (!larger)
        return 0;
    memcpy (larger + exchange->size, data, size);
    exchange->answer = larger;
    exchange->size += size;
    return size;
}

/* "Authorization: Bearer ..." in memory that is to be wiped. */
static int read_token (const struct lease *lease, char *header, size_t header_size,
                       struct mu_error *error)
{
    static const char begin[] = "Authorization: Bearer ";
    const size_t length = sizeof begin - 1;
    memcpy (header, begin, length);
    const long size = file_read (lease->token_path, header + length, header_size - length - 1);
    if (size < 0)
        return mu_fail_errno (error, MU_NO_INPUT, errno,
                              "the service account's token %s cannot be read", lease->token_path);
    size_t end = length + (size_t)size;
    if (end >= header_size)
        return mu_fail (error, MU_BAD_INPUT, "%s is no token: it is too long", lease->token_path);
    while (end > length && (header[end - 1] == '\n' || header[end - 1] == '\r'))
        end--;
    header[end] = '\0';
    for (size_t i = length; i < end; i++)
        if (header[i] <= ' ' || header[i] > '~')
            end = length;
    return end > length ? 0 : mu_fail (error, MU_BAD_INPUT, "%s is no token", lease->token_path);
}

static void set_options (CURL *curl, const struct lease *lease, const char *url, const char *method,
                         const char *body, uint32_t limit_ms, struct exchange *exchange)
{
    curl_easy_setopt (curl, CURLOPT_URL, url);
    curl_easy_setopt (curl, CURLOPT_CUSTOMREQUEST, method);
    if (body)
        curl_easy_setopt (curl, CURLOPT_POSTFIELDS, body);
    curl_easy_setopt (curl, CURLOPT_CAINFO, lease->ca_path);
    curl_easy_setopt (curl, CURLOPT_PROTOCOLS_STR, "https");
    curl_easy_setopt (curl, CURLOPT_NOPROXY, "*");
    curl_easy_setopt (curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt (curl, CURLOPT_FRESH_CONNECT, 1L);
    curl_easy_setopt (curl, CURLOPT_FORBID_REUSE, 1L);
    curl_easy_setopt (curl, CURLOPT_TIMEOUT_MS, (long)limit_ms);
    curl_easy_setopt (curl, CURLOPT_WRITEFUNCTION, collect);
    curl_easy_setopt (curl, CURLOPT_WRITEDATA, exchange);
}

/* 0: it was answered, with whatever status. -1: it may or may not have been carried out. */
static int perform (const struct lease *lease, const char *url, const char *method,
                    const char *body, struct curl_slist *headers, uint32_t limit_ms,
                    struct exchange *exchange, struct mu_error *error)
{
    char why[CURL_ERROR_SIZE] = "";
    CURL *curl = curl_easy_init ();
    if (!curl)
        return mu_fail (error, MU_UNAVAILABLE, "out of memory");
    set_options (curl, lease, url, method, body, limit_ms, exchange);
    curl_easy_setopt (curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt (curl, CURLOPT_ERRORBUFFER, why);
    const CURLcode code = curl_easy_perform (curl);
    if (code == CURLE_OK)
        curl_easy_getinfo (curl, CURLINFO_RESPONSE_CODE, &exchange->status);
    curl_easy_cleanup (curl);
    if (exchange->too_large)
        return mu_fail (error, MU_BAD_INPUT, "the API server's answer is too large");
    if (code != CURLE_OK)
        return mu_fail (error, MU_UNAVAILABLE, "the API server at %s did not answer: %s", url,
                        *why ? why : curl_easy_strerror (code));
    return 0;
}

static struct curl_slist *add (struct curl_slist *list, const char *header)
{
    struct curl_slist *longer = curl_slist_append (list, header);
    if (!longer)
        curl_slist_free_all (list);
    return longer;
}

static void forget_headers (struct curl_slist *headers)
{
    for (struct curl_slist *at = headers; at; at = at->next)
        explicit_bzero (at->data, strlen (at->data));
    curl_slist_free_all (headers);
}

static int ask (const struct lease *lease, const char *url, const char *method, const char *body,
                uint64_t deadline, struct exchange *exchange, struct mu_error *error)
{
    const uint64_t now = mu_now_ms ();
    char *token = malloc (TOKEN_MAX);
    *exchange = (struct exchange){ 0 };
    int rc = -1;
    if (!token)
        mu_fail (error, MU_UNAVAILABLE, "out of memory");
    else if (now >= deadline)
        mu_fail (error, MU_UNAVAILABLE, "the API server did not answer in time");
    else if (!read_token (lease, token, TOKEN_MAX, error)) {
        struct curl_slist *headers = add (NULL, token);
        headers = headers ? add (headers, "Content-Type: application/json") : NULL;
        headers = headers ? add (headers, "Accept: application/json") : NULL;
        rc = headers ? perform (lease, url, method, body, headers, (uint32_t)(deadline - now),
                                exchange, error)
                     : mu_fail (error, MU_UNAVAILABLE, "out of memory");
        forget_headers (headers);
    }
    if (token)
        explicit_bzero (token, TOKEN_MAX);
    free (token);
    return rc;
}

/* --- reading and swapping ---------------------------------------------------------------------- */

static int refuse (const struct lease *lease, const struct exchange *exchange,
                   struct mu_error *error)
{
    char say[200];
    lease_refusal (exchange->answer, exchange->size, say, sizeof say);
    const bool rights = exchange->status == 401 || exchange->status == 403;
    return mu_fail (error, rights ? MU_NO_PERMISSION : MU_UNAVAILABLE,
                    "the API server refused with %ld: %s%s%s", exchange->status, say,
                    rights ? " (the service account needs get, create and update of leases in "
                           : "",
                    rights ? lease->name_space : "");
}

/* The object, which is the caller's, or NULL if there is none yet. */
static int get (const struct lease *lease, uint64_t deadline, json_t **object,
                struct reign_text *value, struct mu_error *error)
{
    struct exchange exchange;
    *object = NULL;
    value->size = 0;
    int rc = ask (lease, lease->one, "GET", NULL, deadline, &exchange, error);
    if (!rc && exchange.status == HTTP_OK) {
        *object = lease_parse (exchange.answer, exchange.size, error);
        rc = !*object || lease_value (*object, value, error) ? -1 : 0;
    } else if (!rc && (exchange.status != HTTP_NOT_FOUND ||
                       !lease_is_absent (exchange.answer, exchange.size, lease->name)))
        rc = refuse (lease, &exchange, error);
    free (exchange.answer);
    if (rc && *object) {
        json_decref (*object);
        *object = NULL;
    }
    return rc;
}

static int lease_read (void *own, uint32_t limit_ms, struct reign_text *value,
                       struct mu_error *error)
{
    json_t *object;
    if (get (own, mu_now_ms () + limit_ms, &object, value, error))
        return -1;
    json_decref (object);
    return 0;
}

/* Between us and the API server something may have said it twice: the second finds the first there. It
 * is certain that `next` is not in only where another has its revision: a later one may have followed it. */
static int look_again (const struct lease *lease, uint64_t deadline, uint64_t revision,
                       const struct reign_text *next, struct mu_error *error)
{
    json_t *object;
    struct reign_text value;
    struct reign present = { 0 };
    if (get (lease, deadline, &object, &value, error))
        return -1;
    json_decref (object);
    if (reign_text_equal (&value, next))
        return 0;
    if (value.size && reign_decode (&present, value.text, value.size, error))
        return -1;
    if (present.revision != revision + 1)
        return mu_fail (error, MU_TRY_AGAIN,
                        "the API server refused, and what is there by now does not say why");
    return mu_fail (error, MU_CONFLICT, "the API server says that another was faster");
}

static int put (const struct lease *lease, uint64_t deadline, const json_t *object,
                uint64_t revision, const struct reign_text *next, struct mu_error *error)
{
    struct exchange exchange;
    char *body = lease_with (object, lease->name_space, lease->name, next, error);
    if (!body)
        return -1;
    int rc = ask (lease, object ? lease->one : lease->all, object ? "PUT" : "POST", body, deadline,
                  &exchange, error);
    if (!rc && exchange.status == HTTP_CONFLICT)
        rc = look_again (lease, deadline, revision, next, error);
    else if (!rc && exchange.status != HTTP_OK && exchange.status != HTTP_CREATED)
        rc = refuse (lease, &exchange, error);
    free (exchange.answer);
    free (body);
    return rc;
}

static int lease_swap (void *own, uint32_t limit_ms, uint64_t revision,
                       const struct reign_text *expected, const struct reign_text *next,
                       struct mu_error *error)
{
    const uint64_t deadline = mu_now_ms () + limit_ms;
    json_t *object;
    struct reign_text value;
    if (get (own, deadline, &object, &value, error))
        return -1;
    const int rc = reign_text_equal (&value, expected)
                       ? put (own, deadline, object, revision, next, error)
                       : mu_fail (error, MU_CONFLICT, "another value is there by now");
    json_decref (object);
    return rc;
}

/* --- the kind ---------------------------------------------------------------------------------- */

/* A name as Kubernetes has them, so that it is nothing else in a URL. */
static bool is_name (const char *name, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (!((name[i] >= 'a' && name[i] <= 'z') || (name[i] >= '0' && name[i] <= '9') ||
              ((name[i] == '-' || name[i] == '.') && i && i + 1 < size)))
            return false;
    return size > 0;
}

static int read_url (struct lease *lease, const char *rest, struct mu_error *error)
{
    const char *slash = strchr (rest, '/');
    const size_t length = slash ? (size_t)(slash - rest) : 0;
    if (!slash || length >= sizeof lease->name_space || !is_name (rest, length) ||
        strlen (slash + 1) >= sizeof lease->name || !is_name (slash + 1, strlen (slash + 1)))
        return mu_fail (error, MU_CONFIG,
                        "lease: needs a namespace and a name of small letters, digits, - and ., as "
                        "lease:training/muster");
    memcpy (lease->name_space, rest, length);
    strcpy (lease->name, slash + 1);
    return 0;
}

static bool is_host (const char *host)
{
    return *host &&
           strspn (host, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:") ==
               strlen (host);
}

static int read_surroundings (struct lease *lease, struct mu_error *error)
{
    const char *host = getenv ("KUBERNETES_SERVICE_HOST"),
               *port = getenv ("KUBERNETES_SERVICE_PORT");
    const char *dir = getenv ("MUSTER_SERVICE_ACCOUNT");
    if (!host || !is_host (host) || (port && strspn (port, "0123456789") != strlen (port)))
        return mu_fail (error, MU_CONFIG,
                        "KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT do not name an API "
                        "server: does this run in a pod?");
    const bool six = strchr (host, ':') != NULL;
    int size = snprintf (lease->all, sizeof lease->all,
                         "https://%s%s%s:%s/apis/coordination.k8s.io/v1/namespaces/%s/leases",
                         six ? "[" : "", host, six ? "]" : "", port && *port ? port : "443",
                         lease->name_space);
    if (size >= (int)(sizeof lease->all - sizeof lease->name - 1))
        return mu_fail (error, MU_CONFIG, "KUBERNETES_SERVICE_HOST is too long");
    snprintf (lease->one, sizeof lease->one, "%.*s/%s", size, lease->all, lease->name);
    dir = dir && *dir ? dir : ACCOUNT_DIR;
    if (snprintf (lease->token_path, sizeof lease->token_path, "%s/token", dir) >=
            (int)sizeof lease->token_path ||
        snprintf (lease->ca_path, sizeof lease->ca_path, "%s/ca.crt", dir) >=
            (int)sizeof lease->ca_path)
        return mu_fail (error, MU_CONFIG, "MUSTER_SERVICE_ACCOUNT is too long");
    return 0;
}

static int lease_open (void **own_p, const char *rest, const struct register_options *options,
                       struct mu_error *error)
{
    (void)options;
    struct lease *lease = calloc (1, sizeof *lease);
    if (!lease)
        return mu_fail (error, MU_UNAVAILABLE, "out of memory");
    if (read_url (lease, rest, error) || read_surroundings (lease, error)) {
        free (lease);
        return -1;
    }
    if (curl_global_init (CURL_GLOBAL_DEFAULT)) {
        free (lease);
        return mu_fail (error, MU_SYSTEM, "libcurl cannot be started");
    }
    *own_p = lease;
    return 0;
}

static void lease_close (void *own)
{
    free (own);
    curl_global_cleanup ();
}

extern const struct register_module muster_register_module;
const struct register_module muster_register_module = {
    .abi = REGISTER_MODULE_ABI,
    .version = PACKAGE_VERSION,
    .kind = { "lease:", lease_open, lease_close, lease_read, lease_swap },
};
