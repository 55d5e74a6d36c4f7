/* SPDX-License-Identifier: Apache-2.0 */
/* entry_words.c - settings as words: what they take, for people; what they are, for JSON */
#include "entry.h"

#include "number.h"

#include <string.h>

static const void *place_const (const struct mu_entry *entry, const void *base)
{
    return (const char *)base + entry->offset;
}

const char *mu_entry_show (const char *text, char shown[MU_ENTRY_SHOWN_MAX])
{
    static const char hex[] = "0123456789abcdef";
    size_t used = 0;
    shown[used++] = '"';
    const char *at = text;
    for (; *at && used + 9 < MU_ENTRY_SHOWN_MAX; at++) {
        unsigned char byte = (unsigned char)*at;
        if (byte >= 0x20 && byte < 0x7f) {
            shown[used++] = *at;
            continue;
        }
        shown[used++] = '\\';
        shown[used++] = 'x';
        shown[used++] = hex[byte >> 4];
        shown[used++] = hex[byte & 15];
    }
    if (*at)
        used += (size_t)(stpcpy (shown + used, "...") - (shown + used));
    shown[used++] = '"';
    shown[used] = '\0';
    return shown;
}

/* --- what an entry takes, in words ------------------------------------------------------------ */

static void expect_number (const struct mu_entry *entry, char *text, size_t size)
{
    const char *unit = entry->unit ? entry->unit : "", *space = entry->unit ? " " : "";
    if (entry->type == MU_ENTRY_U64) {
        snprintf (text, size, "a whole number from %llu to %llu%s%s",
                  (unsigned long long)entry->low.u64, (unsigned long long)entry->high.u64, space,
                  unit);
    } else if (entry->type == MU_ENTRY_I64) {
        snprintf (text, size, "a whole number from %lld to %lld%s%s", (long long)entry->low.i64,
                  (long long)entry->high.i64, space, unit);
    } else {
        char low[MU_NUMBER_TEXT_MAX], high[MU_NUMBER_TEXT_MAX];
        mu_number_print_f64 (entry->low.f64, low);
        mu_number_print_f64 (entry->high.f64, high);
        snprintf (text, size, "a number %s %s %s %s%s%s",
                  entry->flags & MU_ENTRY_ABOVE ? "above" : "from", low,
                  entry->flags & MU_ENTRY_BELOW ? "to below" : "to", high, space, unit);
    }
}

static void expect_choices (const struct mu_entry *entry, char *text, size_t size)
{
    const char *word[MU_ENTRY_CHOICES_MAX + 3];
    size_t count = 0, used = 0;
    char prefixed[32];
    while (count < MU_ENTRY_CHOICES_MAX && entry->choices[count]) {
        word[count] = entry->choices[count];
        count++;
    }
    if (entry->prefix) {
        snprintf (prefixed, sizeof prefixed, "%sFOLDER", entry->prefix);
        word[count++] = prefixed;
    }
    if (entry->flags & MU_ENTRY_TAKES_ID)
        word[count++] = "an id";
    if (entry->flags & MU_ENTRY_TAKES_PATH)
        word[count++] = "a path";
    text[0] = '\0';
    for (size_t i = 0; i < count && used < size; i++) {
        const char *behind = i + 1 == count ? "" : i + 2 == count ? " or " : ", ";
        used += (size_t)snprintf (text + used, size - used, "%s%s", word[i], behind);
    }
}

void mu_entry_expected (const struct mu_entry *entry, char text[MU_ENTRY_EXPECTED_MAX])
{
    const size_t size = MU_ENTRY_EXPECTED_MAX;
    switch (entry->type) {
    case MU_ENTRY_TEXT:
    case MU_ENTRY_TEXTS: snprintf (text, size, "a text"); break;
    case MU_ENTRY_LABEL:
        snprintf (text, size,
                  "at most %u letters, digits, dots, _ and -, beginning with a letter or digit",
                  entry->limit);
        break;
    case MU_ENTRY_PATH: snprintf (text, size, "a path"); break;
    case MU_ENTRY_PATHS: snprintf (text, size, "a path or a list of paths"); break;
    case MU_ENTRY_ENDPOINTS: snprintf (text, size, "tcp://HOST:PORT or ipc://PATH"); break;
    case MU_ENTRY_PORTS: snprintf (text, size, "LOW-HIGH, two ports from 1 to 65535"); break;
    case MU_ENTRY_U64:
    case MU_ENTRY_I64:
    case MU_ENTRY_F64: expect_number (entry, text, size); break;
    case MU_ENTRY_BOOL: snprintf (text, size, "true or false"); break;
    case MU_ENTRY_CHOICE:
    case MU_ENTRY_NAME: expect_choices (entry, text, size); break;
    case MU_ENTRY_SETTINGS: snprintf (text, size, "a mapping of settings"); break;
    }
}

/* --- JSON ------------------------------------------------------------------------------------- */

static void print_json_text (const char *text, FILE *out)
{
    putc ('"', out);
    for (; *text; text++) {
        if ((unsigned char)*text < 0x20) {
            fprintf (out, "\\u%04x", (unsigned)*text);
            continue;
        }
        if (*text == '"' || *text == '\\')
            putc ('\\', out);
        putc (*text, out);
    }
    putc ('"', out);
}

static void print_texts (const struct mu_text_list *list, FILE *out)
{
    putc ('[', out);
    for (size_t i = 0; i < list->count; i++) {
        fputs (i ? "," : "", out);
        print_json_text (list->item[i], out);
    }
    putc (']', out);
}

static void print_settings (const struct mu_setting_list *list, FILE *out)
{
    putc ('{', out);
    for (size_t i = 0; i < list->count; i++) {
        fputs (i ? "," : "", out);
        print_json_text (list->item[i].key, out);
        putc (':', out);
        print_json_text (list->item[i].value, out);
    }
    putc ('}', out);
}

static void print_choice (const struct mu_entry *entry, const void *at, FILE *out)
{
    unsigned index;
    memcpy (&index, at, sizeof index);
    print_json_text (entry->choices[index], out);
}

void mu_entry_print_json (const struct mu_entry *entry, const void *base, FILE *out)
{
    const void *at = place_const (entry, base);
    char number[MU_NUMBER_TEXT_MAX];
    switch (entry->type) {
    case MU_ENTRY_TEXT:
    case MU_ENTRY_LABEL:
    case MU_ENTRY_PATH:
    case MU_ENTRY_PORTS:
    case MU_ENTRY_NAME: print_json_text (*(char *const *)at, out); break;
    case MU_ENTRY_TEXTS:
    case MU_ENTRY_ENDPOINTS:
    case MU_ENTRY_PATHS: print_texts (at, out); break;
    case MU_ENTRY_U64: fprintf (out, "%llu", (unsigned long long)*(const uint64_t *)at); break;
    case MU_ENTRY_I64: fprintf (out, "%lld", (long long)*(const int64_t *)at); break;
    case MU_ENTRY_F64:
        mu_number_print_f64 (*(const double *)at, number);
        fputs (number, out);
        break;
    case MU_ENTRY_BOOL: fputs (*(const bool *)at ? "true" : "false", out); break;
    case MU_ENTRY_CHOICE: print_choice (entry, at, out); break;
    case MU_ENTRY_SETTINGS: print_settings (at, out); break;
    }
}

/* A byte becomes six at most; quotes and a comma or colon around them. */
static size_t text_max (const char *text) { return 6 * strlen (text) + 3; }

static size_t texts_max (const struct mu_text_list *list)
{
    size_t most = 2;
    for (size_t i = 0; i < list->count; i++)
        most += text_max (list->item[i]);
    return most;
}

static size_t settings_max (const struct mu_setting_list *list)
{
    size_t most = 2;
    for (size_t i = 0; i < list->count; i++)
        most += text_max (list->item[i].key) + text_max (list->item[i].value);
    return most;
}

/* Of any of them, so that it is known before one is chosen. */
static size_t choices_max (const char *const *choices)
{
    size_t most = 0;
    for (; *choices; choices++) {
        size_t size = text_max (*choices);
        most = size > most ? size : most;
    }
    return most;
}

size_t mu_entry_json_max (const struct mu_entry *entry, const void *base)
{
    const void *at = place_const (entry, base);
    switch (entry->type) {
    case MU_ENTRY_TEXT:
    case MU_ENTRY_LABEL:
    case MU_ENTRY_PATH:
    case MU_ENTRY_PORTS:
    case MU_ENTRY_NAME: return text_max (*(char *const *)at);
    case MU_ENTRY_TEXTS:
    case MU_ENTRY_ENDPOINTS:
    case MU_ENTRY_PATHS: return texts_max (at);
    case MU_ENTRY_SETTINGS: return settings_max (at);
    case MU_ENTRY_CHOICE: return choices_max (entry->choices);
    case MU_ENTRY_U64:
    case MU_ENTRY_I64:
    case MU_ENTRY_F64:
    case MU_ENTRY_BOOL: break;
    }
    return MU_NUMBER_TEXT_MAX;
}
