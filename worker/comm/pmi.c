/* SPDX-License-Identifier: Apache-2.0 */
/* pmi.c - one line, one answer
 *
 * What is known lies in one text of "key value\n" lines, in the order in which fences brought it;
 * an index by hash of the key makes a look-up independent of the number of ranks. A key put twice
 * keeps its first value: MPICH never does that.
 */
#include "pmi.h"

#include "common/fnv.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define JOBID_MAX 64u
#define NONE      UINT32_MAX

struct text {
    char *data;
    size_t size, capacity;
};

struct mu_pmi {
    uint32_t rank, size;
    char jobid[JOBID_MAX + 1];
    char line[MU_PMI_LINE_MAX + 1];
    size_t line_size;
    struct text own, all, output;
    uint32_t *slot; /* offsets of lines in `all`; NONE is empty */
    uint32_t slot_count, key_count;
    uint32_t fence;
    bool in_fence;
};

static int append (struct text *text, const void *data, size_t size, size_t limit,
                   struct mu_error *error)
{
    if (size > limit - text->size)
        return mu_fail (error, MU_PROTOCOL, "the MPI process says more than %zu bytes", limit);
    if (text->size + size > text->capacity) {
        size_t capacity = text->capacity ? text->capacity : 4096;
        while (capacity < text->size + size)
            capacity *= 2;
        char *bigger = realloc (text->data, capacity);
        if (!bigger)
            return mu_fail (error, MU_UNAVAILABLE, "out of memory");
        text->data = bigger;
        text->capacity = capacity;
    }
    if (size)
        memcpy (text->data + text->size, data, size);
    text->size += size;
    return 0;
}

struct mu_pmi *mu_pmi_create (uint32_t rank, uint32_t size, const char *jobid)
{
    struct mu_pmi *pmi = calloc (1, sizeof *pmi);
    if (!pmi)
        return NULL;
    pmi->rank = rank;
    pmi->size = size;
    snprintf (pmi->jobid, sizeof pmi->jobid, "%s", jobid);
    return pmi;
}

void mu_pmi_destroy (struct mu_pmi **pmi_p)
{
    struct mu_pmi *pmi = *pmi_p;
    if (!pmi)
        return;
    free (pmi->own.data);
    free (pmi->all.data);
    free (pmi->output.data);
    free (pmi->slot);
    free (pmi);
    *pmi_p = NULL;
}

/* --- the index -------------------------------------------------------------------------------- */

static uint32_t hash_key (const char *key, size_t size)
{
    const uint64_t hash = mu_fnv (key, size);
    return (uint32_t)(hash ^ hash >> 32);
}

static uint32_t *find_slot (const struct mu_pmi *pmi, const char *key, size_t size)
{
    uint32_t mask = pmi->slot_count - 1, at = hash_key (key, size) & mask;
    while (pmi->slot[at] != NONE) {
        const char *line = pmi->all.data + pmi->slot[at];
        if (!strncmp (line, key, size) && line[size] == ' ')
            break;
        at = (at + 1) & mask;
    }
    return &pmi->slot[at];
}

static int grow_index (struct mu_pmi *pmi, struct mu_error *error)
{
    uint32_t count = pmi->slot_count ? 2 * pmi->slot_count : 1024, *old = pmi->slot;
    uint32_t old_count = pmi->slot_count;
    uint32_t *slot = malloc (count * sizeof *slot);
    if (!slot)
        return mu_fail (error, MU_UNAVAILABLE, "out of memory");
    memset (slot, 0xff, count * sizeof *slot);
    pmi->slot = slot;
    pmi->slot_count = count;
    for (uint32_t i = 0; i < old_count; i++)
        if (old[i] != NONE) {
            const char *line = pmi->all.data + old[i];
            *find_slot (pmi, line, strcspn (line, " ")) = old[i];
        }
    free (old);
    return 0;
}

static int index_line (struct mu_pmi *pmi, size_t offset, struct mu_error *error)
{
    if (2 * pmi->key_count >= pmi->slot_count && grow_index (pmi, error))
        return -1;
    const char *line = pmi->all.data + offset;
    uint32_t *slot = find_slot (pmi, line, strcspn (line, " "));
    if (*slot == NONE) {
        *slot = (uint32_t)offset;
        pmi->key_count++;
    }
    return 0;
}

/* --- lines ------------------------------------------------------------------------------------ */

/* The value of `name=` in the line: up to the next space, or to the end for the last word. */
static bool find_word (const char *line, const char *name, bool to_end, char *value, size_t size)
{
    size_t length = strlen (name);
    for (const char *at = line; *at; at += strcspn (at, " ")) {
        at += strspn (at, " ");
        if (strncmp (at, name, length) || at[length] != '=')
            continue;
        at += length + 1;
        size_t count = to_end ? strlen (at) : strcspn (at, " ");
        if (count >= size)
            return false;
        memcpy (value, at, count);
        value[count] = '\0';
        return true;
    }
    return false;
}

static int answer (struct mu_pmi *pmi, struct mu_error *error, const char *format, ...)
    __attribute__ ((format (printf, 3, 4)));

static int answer (struct mu_pmi *pmi, struct mu_error *error, const char *format, ...)
{
    char text[MU_PMI_LINE_MAX];
    va_list args;
    va_start (args, format);
    int size = vsnprintf (text, sizeof text, format, args);
    va_end (args);
    if (size < 0 || (size_t)size >= sizeof text)
        return mu_fail (error, MU_INTERNAL, "a PMI answer is too long");
    return append (&pmi->output, text, (size_t)size, MU_PMI_OUTPUT_MAX, error);
}

static int refuse (struct mu_error *error, const char *what, const char *line)
{
    return mu_fail (error, MU_PROTOCOL, "the MPI process said %s to its process manager: %.200s",
                    what, line);
}

static int on_init (struct mu_pmi *pmi, const char *line, struct mu_error *error)
{
    char version[16];
    if (!find_word (line, "pmi_version", false, version, sizeof version) || strcmp (version, "1"))
        return refuse (error, "another PMI version", line);
    return answer (pmi, error, "cmd=response_to_init pmi_version=1 pmi_subversion=1 rc=0\n");
}

static int on_maxes (struct mu_pmi *pmi, const char *line, struct mu_error *error)
{
    (void)line;
    return answer (pmi, error, "cmd=maxes kvsname_max=%u keylen_max=%u vallen_max=%u\n", JOBID_MAX,
                   MU_PMI_KEY_MAX, MU_PMI_VALUE_MAX);
}

static int on_appnum (struct mu_pmi *pmi, const char *line, struct mu_error *error)
{
    (void)line;
    return answer (pmi, error, "cmd=appnum appnum=0\n");
}

static int on_space_name (struct mu_pmi *pmi, const char *line, struct mu_error *error)
{
    (void)line;
    return answer (pmi, error, "cmd=my_kvsname kvsname=%s\n", pmi->jobid);
}

static int on_universe (struct mu_pmi *pmi, const char *line, struct mu_error *error)
{
    (void)line;
    return answer (pmi, error, "cmd=universe_size size=%u\n", pmi->size);
}

static bool is_our_space (const struct mu_pmi *pmi, const char *line)
{
    char name[JOBID_MAX + 1];
    return find_word (line, "kvsname", false, name, sizeof name) && !strcmp (name, pmi->jobid);
}

static int on_put (struct mu_pmi *pmi, const char *line, struct mu_error *error)
{
    char key[MU_PMI_KEY_MAX + 1], value[MU_PMI_VALUE_MAX + 1], text[MU_PMI_LINE_MAX];
    if (!is_our_space (pmi, line) || !find_word (line, "key", false, key, sizeof key) || !*key ||
        !find_word (line, "value", true, value, sizeof value))
        return refuse (error, "a put that makes no sense", line);
    int size = snprintf (text, sizeof text, "%s %s\n", key, value);
    if (append (&pmi->own, text, (size_t)size, MU_PMI_OWN_MAX, error))
        return -1;
    return answer (pmi, error, "cmd=put_result rc=0 msg=success\n");
}

static int on_get (struct mu_pmi *pmi, const char *line, struct mu_error *error)
{
    char key[MU_PMI_KEY_MAX + 1];
    if (!is_our_space (pmi, line) || !find_word (line, "key", false, key, sizeof key))
        return refuse (error, "a get that makes no sense", line);
    uint32_t offset = pmi->slot_count ? *find_slot (pmi, key, strlen (key)) : NONE;
    if (offset == NONE)
        return answer (pmi, error, "cmd=get_result rc=-1 msg=key_not_found value=unknown\n");
    const char *value = pmi->all.data + offset + strlen (key) + 1;
    return answer (pmi, error, "cmd=get_result rc=0 msg=success value=%.*s\n",
                   (int)strcspn (value, "\n"), value);
}

static int on_barrier (struct mu_pmi *pmi, const char *line, struct mu_error *error)
{
    if (pmi->in_fence)
        return refuse (error, "a second fence within one", line);
    pmi->in_fence = true;
    return 0;
}

static int on_finalize (struct mu_pmi *pmi, const char *line, struct mu_error *error)
{
    (void)line;
    return answer (pmi, error, "cmd=finalize_ack\n");
}

static int on_abort (struct mu_pmi *pmi, const char *line, struct mu_error *error)
{
    (void)pmi;
    return refuse (error, "abort", line);
}

static const struct {
    const char *command;
    int (*run) (struct mu_pmi *pmi, const char *line, struct mu_error *error);
} commands[] = {
    { "init", on_init },
    { "get_maxes", on_maxes },
    { "get_appnum", on_appnum },
    { "get_my_kvsname", on_space_name },
    { "get_universe_size", on_universe },
    { "put", on_put },
    { "get", on_get },
    { "barrier_in", on_barrier },
    { "finalize", on_finalize },
    { "abort", on_abort },
};

static int on_line (struct mu_pmi *pmi, const char *line, struct mu_error *error)
{
    char command[32];
    if (!find_word (line, "cmd", false, command, sizeof command))
        return refuse (error, "no command", line);
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        if (!strcmp (command, commands[i].command))
            return commands[i].run (pmi, line, error);
    return refuse (error, "an unknown command", line);
}

int mu_pmi_input (struct mu_pmi *pmi, const void *bytes, size_t size, struct mu_error *error)
{
    const char *at = bytes, *end = at + size;
    for (; at < end; at++) {
        if (*at == '\0' || (pmi->line_size == MU_PMI_LINE_MAX && *at != '\n'))
            return mu_fail (
                error, MU_PROTOCOL,
                "the MPI process does not speak PMI-1: a line of over %u bytes, or a NUL",
                MU_PMI_LINE_MAX);
        if (*at != '\n') {
            pmi->line[pmi->line_size++] = *at;
            continue;
        }
        pmi->line[pmi->line_size] = '\0';
        pmi->line_size = 0;
        if (on_line (pmi, pmi->line, error))
            return -1;
    }
    return 0;
}

const char *mu_pmi_output (const struct mu_pmi *pmi, size_t *size)
{
    *size = pmi->output.size;
    return pmi->output.data;
}

void mu_pmi_sent (struct mu_pmi *pmi, size_t size)
{
    pmi->output.size -= size;
    if (pmi->output.size)
        memmove (pmi->output.data, pmi->output.data + size, pmi->output.size);
}

bool mu_pmi_in_fence (const struct mu_pmi *pmi, uint32_t *number, const void **values, size_t *size)
{
    *number = pmi->fence;
    *values = pmi->own.data;
    *size = pmi->own.size;
    return pmi->in_fence;
}

/* --- fences ----------------------------------------------------------------------------------- */

/* Every line is "key value": what other agents sent is not trusted either. */
static int check_line (const char *line, size_t size, struct mu_error *error)
{
    const char *space = memchr (line, ' ', size);
    if (!space || space == line || (size_t)(space - line) > MU_PMI_KEY_MAX ||
        size - (size_t)(space - line) - 1 > MU_PMI_VALUE_MAX || memchr (line, '\0', size))
        return mu_fail (error, MU_PROTOCOL, "a fence brought something that is no key and value");
    return 0;
}

int mu_pmi_fence_done (struct mu_pmi *pmi, uint32_t number, const void *values, size_t size,
                       struct mu_error *error)
{
    if (!pmi->in_fence || number != pmi->fence)
        return 0;
    size_t offset = pmi->all.size;
    if (append (&pmi->all, values, size, MU_PMI_ALL_MAX, error))
        return -1;
    while (offset < pmi->all.size) {
        const char *line = pmi->all.data + offset;
        const char *newline = memchr (line, '\n', pmi->all.size - offset);
        if (!newline)
            return mu_fail (error, MU_PROTOCOL, "a fence brought half a line");
        if (check_line (line, (size_t)(newline - line), error) || index_line (pmi, offset, error))
            return -1;
        offset += (size_t)(newline - line) + 1;
    }
    pmi->own.size = 0;
    pmi->fence++;
    pmi->in_fence = false;
    return answer (pmi, error, "cmd=barrier_out rc=0\n");
}
