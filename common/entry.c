/* SPDX-License-Identifier: Apache-2.0 */
/* entry.c - reads, checks, prints and frees the settings that the generated tables describe
 *
 * One function a type to read it, chosen by a table. A new value is complete before the old one is
 * freed, so a failure changes nothing. Memory that is gone is an error like another. */
#include "entry.h"

#include "nearest.h"
#include "number.h"
#include "record.h"

#include <stdlib.h>
#include <string.h>

#define NO_PATH SIZE_MAX

static void *place (const struct mu_entry *entry, void *base)
{
    return (char *)base + entry->offset;
}

static const void *place_const (const struct mu_entry *entry, const void *base)
{
    return (const char *)base + entry->offset;
}

static int no_memory (struct mu_error *error)
{
    return mu_fail (error, MU_SYSTEM, "does not fit into memory");
}

static int unfit (const struct mu_entry *entry, const char *text, struct mu_error *error)
{
    char shown[MU_ENTRY_SHOWN_MAX], expected[MU_ENTRY_EXPECTED_MAX];
    mu_entry_expected (entry, expected);
    bool whole = entry->type == MU_ENTRY_U64 || entry->type == MU_ENTRY_I64;
    const char *hint = !whole           ? ""
                       : text[0] == '0' ? ", without leading zeros"
                                        : ", in digits alone";
    return mu_fail (error, MU_CONFIG, "is %s; it takes %s%s, as in %s", mu_entry_show (text, shown),
                    expected, hint, entry->example);
}

static int outside (const struct mu_entry *entry, const char *text, struct mu_error *error)
{
    char expected[MU_ENTRY_EXPECTED_MAX];
    mu_entry_expected (entry, expected);
    return mu_fail (error, MU_CONFIG, "is %.40s; it takes %s", text, expected);
}

/* --- reading ---------------------------------------------------------------------------------- */

/* Control characters and what YAML and terminals take for line ends or byte order: U+0000 to 1F,
 * 7F to 9F, 2028, 2029, FEFF, FFFE, FFFF, in valid UTF-8. */
static bool is_control (const unsigned char *at)
{
    if (at[0] < 0x20 || at[0] == 0x7f)
        return true;
    if (at[0] == 0xc2)
        return at[1] < 0xa0;
    if (at[0] == 0xe2)
        return at[1] == 0x80 && (at[2] == 0xa8 || at[2] == 0xa9);
    if (at[0] == 0xef)
        return (at[1] == 0xbb && at[2] == 0xbf) || (at[1] == 0xbf && at[2] >= 0xbe);
    return false;
}

static int check_text (const char *text, size_t limit, struct mu_error *error)
{
    size_t size = strlen (text);
    if (size == 0)
        return mu_fail (error, MU_CONFIG, "is empty");
    if (size > limit)
        return mu_fail (error, MU_CONFIG, "is %zu bytes long; it takes at most %zu", size, limit);
    if (!mu_text_valid (text, size))
        return mu_fail (error, MU_CONFIG, "is not UTF-8 text");
    for (const char *at = text; *at; at++) {
        if (is_control ((const unsigned char *)at))
            return mu_fail (error, MU_CONFIG, "has a control character in it; it takes plain text");
    }
    return 0;
}

static int replace_text (char **old, const char *text, struct mu_error *error)
{
    char *copy = strdup (text);
    if (!copy)
        return no_memory (error);
    free (*old);
    *old = copy;
    return 0;
}

static int set_text (const struct mu_entry *entry, void *to, const char *text,
                     struct mu_error *error)
{
    if (check_text (text, entry->limit, error) != 0)
        return -1;
    return replace_text (to, text, error);
}

static int set_label (const struct mu_entry *entry, void *to, const char *text,
                      struct mu_error *error)
{
    static const char letters[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    if (text[0] == '\0' || strchr ("._-", text[0]) || text[strspn (text, letters)] != '\0')
        return unfit (entry, text, error);
    return set_text (entry, to, text, error);
}

static int set_texts (const struct mu_entry *entry, void *to, const char *text,
                      struct mu_error *error)
{
    struct mu_text_list *list = to;
    if (check_text (text, MU_ENTRY_PATH_MAX, error) != 0)
        return -1;
    if (list->count >= entry->limit)
        return mu_fail (error, MU_CONFIG, "has too many items; it takes at most %u", entry->limit);
    char *copy = strdup (text);
    char **items = copy ? reallocarray (list->item, list->count + 1, sizeof *items) : NULL;
    if (!items) {
        free (copy);
        return no_memory (error);
    }
    list->item = items;
    list->item[list->count++] = copy;
    return 0;
}

/* tcp://HOST:PORT, with [..] around an IPv6 address, or ipc://PATH; the host is not looked up. */
static bool is_endpoint (const char *text)
{
    uint64_t port = 0;
    if (strncmp (text, "ipc://", 6) == 0)
        return text[6] != '\0';
    const char *colon = strrchr (text, ':');
    if (strncmp (text, "tcp://", 6) != 0 || colon <= text + 6 || strpbrk (text, " \t"))
        return false;
    if (memchr (text + 6, ':', (size_t)(colon - text - 6)) && (text[6] != '[' || colon[-1] != ']'))
        return false;
    return mu_number_u64 (colon + 1, &port) == MU_NUMBER_GOOD && port >= 1 && port <= 65535;
}

static int set_endpoints (const struct mu_entry *entry, void *to, const char *text,
                          struct mu_error *error)
{
    return is_endpoint (text) ? set_texts (entry, to, text, error) : unfit (entry, text, error);
}

static int set_ports (const struct mu_entry *entry, void *to, const char *text,
                      struct mu_error *error)
{
    char low_text[8] = "";
    uint64_t low = 0, high = 0;
    const char *dash = strchr (text, '-');
    if (!dash || (size_t)(dash - text) >= sizeof low_text)
        return unfit (entry, text, error);
    memcpy (low_text, text, (size_t)(dash - text));
    if (mu_number_u64 (low_text, &low) != MU_NUMBER_GOOD ||
        mu_number_u64 (dash + 1, &high) != MU_NUMBER_GOOD || low < 1 || low > high || high > 65535)
        return unfit (entry, text, error);
    return replace_text (to, text, error);
}

static int set_u64 (const struct mu_entry *entry, void *to, const char *text,
                    struct mu_error *error)
{
    uint64_t value = 0;
    enum mu_number_result result = mu_number_u64 (text, &value);
    int64_t negative = 0;
    if (result == MU_NUMBER_MALFORMED && mu_number_i64 (text, &negative) == MU_NUMBER_GOOD)
        return outside (entry, text, error);
    if (result == MU_NUMBER_MALFORMED)
        return unfit (entry, text, error);
    if (result == MU_NUMBER_TOO_LARGE || value < entry->low.u64 || value > entry->high.u64)
        return outside (entry, text, error);
    *(uint64_t *)to = value;
    return 0;
}

static int set_i64 (const struct mu_entry *entry, void *to, const char *text,
                    struct mu_error *error)
{
    int64_t value = 0;
    enum mu_number_result result = mu_number_i64 (text, &value);
    if (result == MU_NUMBER_MALFORMED)
        return unfit (entry, text, error);
    if (result == MU_NUMBER_TOO_LARGE || value < entry->low.i64 || value > entry->high.i64)
        return outside (entry, text, error);
    *(int64_t *)to = value;
    return 0;
}

static int set_f64 (const struct mu_entry *entry, void *to, const char *text,
                    struct mu_error *error)
{
    double value = 0;
    enum mu_number_result result = mu_number_f64 (text, &value);
    if (result == MU_NUMBER_MALFORMED)
        return unfit (entry, text, error);
    bool low = entry->flags & MU_ENTRY_ABOVE ? value > entry->low.f64 : value >= entry->low.f64;
    bool high = entry->flags & MU_ENTRY_BELOW ? value < entry->high.f64 : value <= entry->high.f64;
    if (result == MU_NUMBER_TOO_LARGE || !low || !high)
        return outside (entry, text, error);
    *(double *)to = value + 0.0; /* -0 becomes 0, so that equal settings have equal bytes */
    return 0;
}

static int set_bool (const struct mu_entry *entry, void *to, const char *text,
                     struct mu_error *error)
{
    bool truth = strcmp (text, "true") == 0;
    if (!truth && strcmp (text, "false") != 0)
        return unfit (entry, text, error);
    *(bool *)to = truth;
    return 0;
}

static int unknown_choice (const struct mu_entry *entry, const char *text, struct mu_error *error)
{
    char shown[MU_ENTRY_SHOWN_MAX], expected[MU_ENTRY_EXPECTED_MAX];
    const char *near = mu_nearest (text, entry->choices);
    if (!near)
        return unfit (entry, text, error);
    mu_entry_expected (entry, expected);
    return mu_fail (error, MU_CONFIG, "is %s; did you mean %s? It takes %s",
                    mu_entry_show (text, shown), near, expected);
}

static bool is_choice (const struct mu_entry *entry, const char *text, unsigned *index)
{
    for (*index = 0; entry->choices[*index]; (*index)++) {
        if (strcmp (entry->choices[*index], text) == 0)
            return true;
    }
    return false;
}

static int set_choice (const struct mu_entry *entry, void *to, const char *text,
                       struct mu_error *error)
{
    unsigned index;
    if (!is_choice (entry, text, &index))
        return unknown_choice (entry, text, error);
    memcpy (to, &index, sizeof index); /* an enum of the generated header: the size of unsigned */
    return 0;
}

/* Where a path begins in the text of a name: behind the prefix, or at its start. */
static size_t find_path (const struct mu_entry *entry, const char *text)
{
    size_t prefix = entry->prefix ? strlen (entry->prefix) : 0;
    if (prefix > 0 && strncmp (text, entry->prefix, prefix) == 0 && text[prefix])
        return prefix;
    bool path = entry->flags & MU_ENTRY_TAKES_PATH && strpbrk (text, "/.");
    return path ? 0 : NO_PATH;
}

static int set_name (const struct mu_entry *entry, void *to, const char *text,
                     struct mu_error *error)
{
    unsigned index;
    bool known = is_choice (entry, text, &index) || find_path (entry, text) != NO_PATH;
    if (!known && !(entry->flags & MU_ENTRY_TAKES_ID && !mu_nearest (text, entry->choices)))
        return unknown_choice (entry, text, error);
    return set_text (entry, to, text, error);
}

static int set_settings (const struct mu_entry *entry, void *to, const char *text,
                         struct mu_error *error)
{
    (void)to;
    return unfit (entry, text, error);
}

typedef int set_function (const struct mu_entry *entry, void *to, const char *text,
                          struct mu_error *error);

static set_function *const setters[] = {
    [MU_ENTRY_TEXT] = set_text,
    [MU_ENTRY_LABEL] = set_label,
    [MU_ENTRY_PATH] = set_text,
    [MU_ENTRY_NAME] = set_name,
    [MU_ENTRY_TEXTS] = set_texts,
    [MU_ENTRY_PATHS] = set_texts,
    [MU_ENTRY_ENDPOINTS] = set_endpoints,
    [MU_ENTRY_PORTS] = set_ports,
    [MU_ENTRY_U64] = set_u64,
    [MU_ENTRY_I64] = set_i64,
    [MU_ENTRY_F64] = set_f64,
    [MU_ENTRY_BOOL] = set_bool,
    [MU_ENTRY_CHOICE] = set_choice,
    [MU_ENTRY_SETTINGS] = set_settings,
};

int mu_entry_set (const struct mu_entry *entry, void *base, const char *text,
                  struct mu_error *error)
{
    return setters[entry->type](entry, place (entry, base), text, error);
}

/* --- the trainer's own settings --------------------------------------------------------------- */

static int check_setting (const char *key, const char *value, struct mu_error *error)
{
    if (check_text (key, MU_ENTRY_SETTING_KEY_MAX, error) != 0) {
        mu_error_prefix (error, "has a key that ");
        return -1;
    }
    return *value ? check_text (value, MU_ENTRY_SETTING_VALUE_MAX, error) : 0;
}

/* The place of `key`, or where it belongs when it is not there (*found says which). */
static size_t find_setting (const struct mu_setting_list *list, const char *key, bool *found)
{
    size_t at = 0;
    int order = 1;
    while (at < list->count && (order = strcmp (list->item[at].key, key)) < 0)
        at++;
    *found = at < list->count && order == 0;
    return at;
}

static int insert_setting (struct mu_setting_list *list, size_t at, const char *key,
                           const char *value, struct mu_error *error)
{
    struct mu_setting new = { strdup (key), strdup (value) };
    struct mu_setting *items = NULL;
    if (new.key &&new.value)
        items = reallocarray (list->item, list->count + 1, sizeof *items);
    if (!items) {
        free (new.key);
        free (new.value);
        return no_memory (error);
    }
    memmove (items + at + 1, items + at, (list->count - at) * sizeof *items);
    items[at] = new;
    list->item = items;
    list->count++;
    return 0;
}

int mu_entry_set_pair (const struct mu_entry *entry, void *base, const char *key, const char *value,
                       struct mu_error *error)
{
    struct mu_setting_list *list = place (entry, base);
    bool found;
    if (check_setting (key, value, error) != 0)
        return -1;
    size_t at = find_setting (list, key, &found);
    if (found)
        return replace_text (&list->item[at].value, value, error);
    if (list->count >= entry->limit)
        return mu_fail (error, MU_CONFIG, "has too many keys; it takes at most %u", entry->limit);
    return insert_setting (list, at, key, value, error);
}

/* --- clearing, defaults ----------------------------------------------------------------------- */

static void clear_texts (struct mu_text_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        free (list->item[i]);
    free (list->item);
    *list = (struct mu_text_list){ 0 };
}

static void clear_settings (struct mu_setting_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        free (list->item[i].key);
        free (list->item[i].value);
    }
    free (list->item);
    *list = (struct mu_setting_list){ 0 };
}

bool mu_entry_owns_memory (const struct mu_entry *entry)
{
    return entry->type != MU_ENTRY_U64 && entry->type != MU_ENTRY_I64 &&
           entry->type != MU_ENTRY_F64 && entry->type != MU_ENTRY_BOOL &&
           entry->type != MU_ENTRY_CHOICE;
}

void mu_entry_clear (const struct mu_entry *entry, void *base)
{
    void *at = place (entry, base);
    switch (entry->type) {
    case MU_ENTRY_TEXT:
    case MU_ENTRY_LABEL:
    case MU_ENTRY_PATH:
    case MU_ENTRY_PORTS:
    case MU_ENTRY_NAME:
        free (*(char **)at);
        *(char **)at = NULL;
        break;
    case MU_ENTRY_TEXTS:
    case MU_ENTRY_ENDPOINTS:
    case MU_ENTRY_PATHS: clear_texts (at); break;
    case MU_ENTRY_U64: *(uint64_t *)at = 0; break;
    case MU_ENTRY_I64: *(int64_t *)at = 0; break;
    case MU_ENTRY_F64: *(double *)at = 0; break;
    case MU_ENTRY_BOOL: *(bool *)at = false; break;
    case MU_ENTRY_CHOICE: memset (at, 0, sizeof (unsigned)); break;
    case MU_ENTRY_SETTINGS: clear_settings (at); break;
    }
}

int mu_entry_set_standard (const struct mu_entry *entry, void *base, struct mu_error *error)
{
    mu_entry_clear (entry, base);
    return entry->standard ? mu_entry_set (entry, base, entry->standard, error) : 0;
}

bool mu_entry_is_set (const struct mu_entry *entry, const void *base)
{
    const void *at = place_const (entry, base);
    switch (entry->type) {
    case MU_ENTRY_TEXT:
    case MU_ENTRY_LABEL:
    case MU_ENTRY_PATH:
    case MU_ENTRY_PORTS:
    case MU_ENTRY_NAME: return *(char *const *)at != NULL;
    case MU_ENTRY_TEXTS:
    case MU_ENTRY_ENDPOINTS:
    case MU_ENTRY_PATHS: return ((const struct mu_text_list *)at)->count > 0;
    case MU_ENTRY_SETTINGS: return ((const struct mu_setting_list *)at)->count > 0;
    case MU_ENTRY_U64: return entry->standard || *(const uint64_t *)at != 0;
    case MU_ENTRY_I64: return entry->standard || *(const int64_t *)at != 0;
    case MU_ENTRY_F64: return entry->standard || *(const double *)at > 0 || *(const double *)at < 0;
    case MU_ENTRY_BOOL:
    case MU_ENTRY_CHOICE: break;
    }
    return true;
}

/* --- paths ------------------------------------------------------------------------------------ */

/* Resolve the path that begins `skip` bytes into *text. */
static int resolve (char **text, size_t skip, const char *folder, struct mu_error *error)
{
    const char *path = *text + skip;
    const char *home = getenv ("HOME");
    bool in_home = strncmp (path, "~/", 2) == 0;
    if (path[0] == '/' || (in_home && !home))
        return 0;
    if (in_home)
        folder = home;
    path += in_home ? 2 : 0;
    while (strncmp (path, "./", 2) == 0)
        path += 2;
    size_t end = strlen (folder);
    while (end > 0 && folder[end - 1] == '/')
        end--;
    if (skip + end + 1 + strlen (path) > MU_ENTRY_PATH_MAX)
        return mu_fail (error, MU_CONFIG, "is longer than %d bytes with its folder in front",
                        MU_ENTRY_PATH_MAX);
    char *joined = NULL;
    if (asprintf (&joined, "%.*s%.*s/%s", (int)skip, *text, (int)end, folder, path) < 0)
        return no_memory (error);
    free (*text);
    *text = joined;
    return 0;
}

static int resolve_name (const struct mu_entry *entry, char **text, const char *folder,
                         struct mu_error *error)
{
    unsigned index;
    if (!*text || is_choice (entry, *text, &index))
        return 0;
    size_t skip = find_path (entry, *text);
    return skip == NO_PATH ? 0 : resolve (text, skip, folder, error);
}

int mu_entry_resolve (const struct mu_entry *entry, void *base, const char *folder,
                      struct mu_error *error)
{
    char **text = place (entry, base);
    if (entry->type == MU_ENTRY_NAME)
        return resolve_name (entry, text, folder, error);
    if (entry->type == MU_ENTRY_PATH)
        return *text ? resolve (text, 0, folder, error) : 0;
    if (entry->type != MU_ENTRY_PATHS)
        return 0;
    struct mu_text_list *list = place (entry, base);
    for (size_t i = 0; i < list->count; i++) {
        if (resolve (&list->item[i], 0, folder, error) != 0)
            return -1;
    }
    return 0;
}
