/* SPDX-License-Identifier: Apache-2.0 */
/* test_bpe.c - text in pieces, merges, and the two files that hold them */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "worker/data/bpe.h"
#include "worker/data/split.h"
#include "worker/data/tokenizer.h"

/* --- pieces ----------------------------------------------------------------------------------- */

/* The pieces of a text with '|' between them. */
static void split_all (const char *text, size_t size, char *out)
{
    for (size_t at = 0; at < size;) {
        const size_t length = mu_split_next ((const uint8_t *)text + at, size - at, true);
        assert_true (length > 0 && length <= size - at);
        if (at)
            *out++ = '|';
        memcpy (out, text + at, length);
        out += length;
        at += length;
    }
    *out = '\0';
}

/* What Python's `regex` finds with GPT-2's pattern; worked out by hand from the pattern. */
static void pieces_follow_gpt2s_pattern (void **state)
{
    (void)state;
    static const struct {
        const char *text, *pieces;
    } cases[] = {
        { "Hello world", "Hello| world" },
        { "Hello, world!", "Hello|,| world|!" },
        { "I'm you're he'll it's don't we've she'd",
          "I|'m| you|'re| he|'ll| it|'s| don|'t| we|'ve| she|'d" },
        { "'sound", "'s|ound" }, /* the pattern has no look-ahead here */
        { "IT'S", "IT|'|S" },    /* and is case-sensitive */
        { "a  b", "a| | b" },    /* blanks but the last, which joins the word */
        { "a   b", "a|  | b" },
        { "a \n b", "a| \n| b" },
        { "a\nb", "a|\n|b" },
        { "a\n\nb", "a|\n|\n|b" },
        { "a\n", "a|\n" },
        { "a  ", "a|  " }, /* at the end white space stays whole */
        { " a", " a" },
        { "abc123 45x", "abc|123| 45|x" },
        { "x=1; y==2", "x|=|1|;| y|==|2" },
        { "\tx", "\t|x" },
        { "caf\xc3\xa9 na\xc3\xafve", "caf\xc3\xa9| na\xc3\xafve" },
        { "\xd0\x9f\xd1\x80\xd0\xb8 \xe4\xbd\xa0\xe5\xa5\xbd",
          "\xd0\x9f\xd1\x80\xd0\xb8| \xe4\xbd\xa0\xe5\xa5\xbd" },
        { "x\xc2\xb2", "x|\xc2\xb2" },         /* superscript two is a number (No) */
        { "\xe2\x85\xa7z", "\xe2\x85\xa7|z" }, /* Roman numeral eight, a number (Nl) */
        { "a\xc2\xa0"
          "b",
          "a|\xc2\xa0|b" },                         /* no-break space is \s, but no blank */
        { "a\xe2\x80\x94 b", "a|\xe2\x80\x94| b" }, /* dash */
        { "a\xff\xfe"
          "b",
          "a|\xff\xfe|b" },                 /* not UTF-8: neither letter nor space */
        { "\xed\xa0\x80", "\xed\xa0\x80" }, /* a lone surrogate neither */
        { "\xf0\x9f\x98\x80\xf0\x9f\x98\x80 ok", "\xf0\x9f\x98\x80\xf0\x9f\x98\x80| ok" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char out[256];
        split_all (cases[i].text, strlen (cases[i].text), out);
        assert_string_equal (out, cases[i].pieces);
    }
}

static void a_piece_that_may_go_on_is_kept_back (void **state)
{
    (void)state;
    const uint8_t *text = (const uint8_t *)"hello world  !";
    assert_int_equal (mu_split_next (text, 5, false), 0);
    assert_int_equal (mu_split_next (text, 5, true), 5);
    assert_int_equal (mu_split_next (text, 14, false), 5);
    uint8_t *blanks = malloc (MU_PIECE_MAX + 5);
    assert_non_null (blanks);
    memset (blanks, ' ', MU_PIECE_MAX + 5);
    assert_int_equal (mu_split_next (blanks, MU_PIECE_MAX - 1, false), 0);
    assert_int_equal (mu_split_next (blanks, MU_PIECE_MAX + 5, false), MU_PIECE_MAX);
    free (blanks);
}

/* --- training --------------------------------------------------------------------------------- */

static char *train (const char *text, size_t step, uint32_t *vocabulary)
{
    struct mu_error error;
    struct mu_bpe_trainer *trainer = mu_bpe_trainer_new ();
    const size_t size = strlen (text);
    assert_non_null (trainer);
    for (size_t at = 0; at < size; at += step)
        assert_int_equal (
            mu_bpe_trainer_text (trainer, text + at, size - at < step ? size - at : step, &error),
            0);
    assert_int_equal (mu_bpe_trainer_end (trainer, &error), 0);
    char *file = mu_bpe_train (trainer, vocabulary, &error);
    assert_non_null (file);
    mu_bpe_trainer_close (&trainer);
    return file;
}

static const char story[] =
    "the cat sat on the mat. the other cat, the thin one, that sat there then, thought: "
    "'the mat is mine', and they're both right; aaaaaaa aaaa aa 1999 1998 199\n\n  the end\n";

/* Merges as a person counts them: "low lower lowest" and their kin. */
static void training_takes_the_most_frequent_pair (void **state)
{
    (void)state;
    uint32_t vocabulary = 260;
    /* Pieces: "low" 5, "lot" 2, "lox" 1 each with a blank before but the first "low". */
    char *file = train ("low low low low low lot lot lox", 1000, &vocabulary);
    assert_int_equal (vocabulary, 260);
    /* l-o 8; then " lo" 7 (256 is "lo"; blank before 7 of 8) against "low" 5; then " low" 4, "
     * lot" 2. */
    assert_string_equal (
        file, "muster-bpe 1\nvocabulary 260\n108 111\n32 256\n257 119\n257 116\nend 260\n");
    free (file);
}

static void ties_go_to_the_lower_tokens (void **state)
{
    (void)state;
    uint32_t vocabulary = 258;
    char *file = train ("zy.ab.zy.ab.", 1000, &vocabulary);
    assert_string_equal (file, "muster-bpe 1\nvocabulary 258\n97 98\n122 121\nend 258\n");
    free (file);
}

static void training_stops_when_nothing_repeats (void **state)
{
    (void)state;
    uint32_t vocabulary = 5000;
    char *file = train ("abcd", 1000, &vocabulary);
    assert_int_equal (vocabulary, 256);
    assert_string_equal (file, "muster-bpe 1\nvocabulary 256\nend 256\n");
    free (file);
}

/* A slow trainer that recounts everything at each merge; the fast one must agree with it. */
struct slow {
    uint16_t symbols[4096];
    size_t begin[1024], length[1024], words;
};

static void slow_best (const struct slow *s, uint32_t *best, unsigned *best_count)
{
    static unsigned counts[1 << 20];
    memset (counts, 0, sizeof counts);
    *best_count = 0;
    for (size_t w = 0; w < s->words; w++)
        for (size_t i = 0; i + 1 < s->length[w]; i++)
            counts[s->symbols[s->begin[w] + i] << 10 | s->symbols[s->begin[w] + i + 1]]++;
    for (uint32_t key = 0; key < 1 << 20; key++) {
        if (counts[key] > *best_count) {
            *best_count = counts[key];
            *best = key;
        }
    }
}

static void training_agrees_with_a_slow_one (void **state)
{
    (void)state;
    static struct slow s;
    uint32_t vocabulary = 400;
    const char *text = story;
    for (size_t at = 0, size = strlen (text); at < size;) {
        const size_t length = mu_split_next ((const uint8_t *)text + at, size - at, true);
        s.begin[s.words] = at;
        s.length[s.words++] = length;
        for (size_t i = 0; i < length; i++)
            s.symbols[at + i] = (uint8_t)text[at + i];
        at += length;
    }
    char *file = train (text, 7, &vocabulary), *line = strchr (strchr (file, '\n') + 1, '\n') + 1;
    unsigned made = 256;
    for (; strncmp (line, "end", 3) != 0; made++, line = strchr (line, '\n') + 1) {
        uint32_t best = 0;
        unsigned count, left, right;
        slow_best (&s, &best, &count);
        assert_true (count >= 2);
        assert_int_equal (sscanf (line, "%u %u", &left, &right), 2);
        assert_int_equal (left, best >> 10);
        assert_int_equal (right, best & 1023);
        for (size_t w = 0; w < s.words; w++) {
            size_t length = 0;
            uint16_t *word = &s.symbols[s.begin[w]];
            for (size_t i = 0; i < s.length[w]; i++) {
                const bool here = i + 1 < s.length[w] && word[i] == left && word[i + 1] == right;
                word[length++] = here ? (uint16_t)made : word[i];
                i += here;
            }
            s.length[w] = length;
        }
    }
    uint32_t best;
    unsigned count;
    slow_best (&s, &best, &count);
    assert_true (count < 2);
    assert_true (made > 270);
    assert_int_equal (made, vocabulary);
    free (file);
}

static void training_does_not_see_how_text_is_cut (void **state)
{
    (void)state;
    uint32_t vocabulary = 400, again;
    char *file = train (story, 100000, &vocabulary);
    for (size_t step = 1; step < 20; step++) {
        again = 400;
        char *other = train (story, step, &again);
        assert_string_equal (file, other);
        free (other);
    }
    free (file);
}

/* --- encoding --------------------------------------------------------------------------------- */

static void write_file (const char *path, const char *text)
{
    FILE *file = fopen (path, "w");
    assert_non_null (file);
    assert_int_equal (fputs (text, file) < 0, 0);
    assert_int_equal (fclose (file), 0);
}

static char folder[] = "/tmp/muster-test-bpe-XXXXXX";

static char *in_folder (const char *name)
{
    char *path;
    assert_true (asprintf (&path, "%s/%s", folder, name) > 0);
    return path;
}

static struct mu_tokenizer *open_story (uint32_t vocabulary)
{
    struct mu_tokenizer *tokenizer;
    struct mu_error error;
    char *path = in_folder ("story.bpe"), *file = train (story, 1000, &vocabulary);
    write_file (path, file);
    assert_int_equal (mu_tokenizer_open (&tokenizer, path, false, &error), 0);
    assert_int_equal (mu_tokenizer_vocabulary (tokenizer), vocabulary);
    free (file);
    free (path);
    return tokenizer;
}

static void decoding_undoes_encoding (void **state)
{
    (void)state;
    struct mu_tokenizer *tokenizer = open_story (400);
    struct mu_error error;
    char bytes[700];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (char)(i < 256 ? i : i * 2654435761u >> 13);
    const char *texts[] = { story, "the", "", "unseen words \xff\xfe too", bytes };
    const size_t sizes[] = { strlen (story), 3, 0, strlen (texts[3]), sizeof bytes };
    for (size_t i = 0; i < 5; i++) {
        int32_t *tokens;
        size_t count, size;
        assert_int_equal (
            mu_tokenizer_encode (tokenizer, texts[i], sizes[i], &tokens, &count, &error), 0);
        assert_true (count <= sizes[i]);
        char *back = mu_data_decode (tokenizer, tokens, count, &size, &error);
        assert_non_null (back);
        assert_int_equal (size, sizes[i]);
        assert_memory_equal (back, texts[i], size);
        free (back);
        free (tokens);
    }
    const int32_t bad[] = { 65, 400, -1 };
    assert_null (mu_data_decode (tokenizer, bad, 2, NULL, &error));
    assert_null (mu_data_decode (tokenizer, bad + 2, 1, NULL, &error));
    mu_tokenizer_close (&tokenizer);
}

struct tokens {
    int32_t list[4096];
    size_t count;
};

static int keep (void *user, const int32_t *tokens, size_t count, struct mu_error *error)
{
    struct tokens *kept = user;
    (void)error;
    assert_true (kept->count + count <= 4096);
    memcpy (kept->list + kept->count, tokens, count * sizeof *tokens);
    kept->count += count;
    return 0;
}

static void encoding_does_not_see_how_text_is_cut (void **state)
{
    (void)state;
    struct mu_tokenizer *tokenizer = open_story (350);
    struct mu_error error;
    int32_t *whole;
    size_t count;
    assert_int_equal (
        mu_tokenizer_encode (tokenizer, story, strlen (story), &whole, &count, &error), 0);
    for (size_t step = 1; step < 40; step++) {
        struct tokens kept = { .count = 0 };
        struct mu_encoder *encoder = mu_encoder_open (tokenizer, keep, &kept);
        for (size_t at = 0; at < strlen (story); at += step) {
            const size_t left = strlen (story) - at;
            assert_int_equal (
                mu_encoder_text (encoder, story + at, left < step ? left : step, &error), 0);
        }
        assert_int_equal (mu_encoder_end (encoder, &error), 0);
        assert_int_equal (kept.count, count);
        assert_memory_equal (kept.list, whole, count * sizeof *whole);
        mu_encoder_close (&encoder);
    }
    free (whole);
    mu_tokenizer_close (&tokenizer);
}

/* The definition, step by step: look for the earliest merge in the piece, apply it to the leftmost
 * place, begin anew. The heap must give the same. */
static void encoding_agrees_with_the_definition (void **state)
{
    (void)state;
    uint32_t vocabulary = 400;
    struct mu_bpe *bpe;
    struct mu_error error;
    struct mu_bpe_scratch scratch = { 0 };
    char *file = train (story, 1000, &vocabulary);
    assert_int_equal (mu_bpe_parse (&bpe, file, strlen (file), &error), 0);
    unsigned left[512], right[512];
    char *line = strchr (strchr (file, '\n') + 1, '\n') + 1;
    for (uint32_t i = 256; i < vocabulary; i++, line = strchr (line, '\n') + 1)
        assert_int_equal (sscanf (line, "%u %u", &left[i], &right[i]), 2);
    uint32_t random = 1;
    for (unsigned round = 0; round < 3000; round++) {
        uint8_t piece[64];
        unsigned symbols[64];
        size_t size = 1 + round % 40, count = size;
        for (size_t i = 0; i < size; i++) {
            random = random * 1664525 + 1013904223;
            piece[i] = (uint8_t) "the atson1"[(random >> 16) % 10];
            symbols[i] = piece[i];
        }
        for (bool changed = true; changed;) {
            changed = false;
            for (unsigned rank = 256; rank < vocabulary && !changed; rank++) {
                for (size_t i = 0; i + 1 < count && !changed; i++) {
                    if (symbols[i] != left[rank] || symbols[i + 1] != right[rank])
                        continue;
                    symbols[i] = rank;
                    memmove (&symbols[i + 1], &symbols[i + 2], (count - i - 2) * sizeof *symbols);
                    count--;
                    changed = true;
                }
            }
        }
        assert_int_equal (mu_bpe_piece (bpe, &scratch, piece, size), count);
        for (size_t i = 0; i < count; i++)
            assert_int_equal (scratch.symbol[i], symbols[i]);
    }
    mu_bpe_scratch_close (&scratch);
    mu_bpe_close (&bpe);
    free (file);
}

static void a_very_long_piece_is_quick (void **state)
{
    (void)state;
    struct mu_tokenizer *tokenizer = open_story (400);
    struct mu_error error;
    const size_t size = 3u << 20;
    char *text = malloc (size);
    int32_t *tokens;
    size_t count, back_size;
    assert_non_null (text);
    memset (text, 'a', size);
    assert_int_equal (mu_tokenizer_encode (tokenizer, text, size, &tokens, &count, &error), 0);
    assert_true (count <= size / 2);
    char *back = mu_data_decode (tokenizer, tokens, count, &back_size, &error);
    assert_int_equal (back_size, size);
    assert_memory_equal (back, text, size);
    free (back);
    free (tokens);
    free (text);
    mu_tokenizer_close (&tokenizer);
}

/* --- files ------------------------------------------------------------------------------------ */

static void bad_tokenizers_are_refused (void **state)
{
    (void)state;
    static const struct {
        const char *text, *complaint;
    } cases[] = {
        { "", "is not a tokenizer" },
        { "hello\n", "is not a tokenizer" },
        { "muster-bpe 2\nvocabulary 257\n", "version 2" },
        { "muster-bpe 1\nvocabulary 12\n", "vocabulary N" },
        { "muster-bpe 1\nvocabulary 99999999\n", "vocabulary N" },
        { "muster-bpe 1\nvocabulary 258\n97 98\n", "cut off" },
        { "muster-bpe 1\nvocabulary 258\n97 98\nend 258\n", "cut off" },
        { "muster-bpe 1\nvocabulary 257\n97 98\nend 257\nmore\n", "cut off" },
        { "muster-bpe 1\nvocabulary 257\n97 256\nend 257\n", "line 3" },
        { "muster-bpe 1\nvocabulary 257\n97 -1\nend 257\n", "line 3" },
        { "muster-bpe 1\nvocabulary 257\nth e\nend 257\n", "line 3" },
        { "muster-bpe 1\nvocabulary 257\n97 4294967394\nend 257\n", "line 3" },
        { "muster-bpe 1\nvocabulary 257\n097 98\nend 257\n", "line 3" },
        { "muster-bpe 1\nvocabulary 257\n97  98\nend 257\n", "line 3" },
        { "muster-bpe 1\nvocabulary 257 of\n97 98\nend 257\n", "vocabulary N" },
        { "muster-bpe 1\nvocabulary 257\n1 2\n3 4\nend 257\n", "line 4" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct mu_bpe *bpe;
        struct mu_error error;
        assert_int_equal (mu_bpe_parse (&bpe, cases[i].text, strlen (cases[i].text), &error), -1);
        assert_null (bpe);
        assert_int_equal (error.code, MU_BAD_INPUT);
        assert_non_null (strstr (error.text, cases[i].complaint));
    }
}

/* A little vocabulary in OpenAI's two files. Its byte tokens stand in GPT-2's own order: printing
 * characters first, then the others, so "!" is 0, "A" 32, "a" 64, the blank ("Ġ") 220. */
static void append_code (char *out, unsigned code)
{
    if (code < 0x80)
        sprintf (out + strlen (out), code == '"' || code == '\\' ? "\\%c" : "%c", (int)code);
    else
        sprintf (out + strlen (out), "%c%c", (int)(0xc0 | code >> 6), (int)(0x80 | (code & 63)));
}

static void write_gpt2_with (const char *merges, const char *more)
{
    static char json[16384];
    unsigned number = 0, next = 256;
    strcpy (json, "{");
    for (unsigned i = 0; i < 256; i++) {
        if ((i >= 33 && i <= 126) || (i >= 161 && i <= 172) || i >= 174) {
            strcat (json, "\"");
            append_code (json, i);
            sprintf (json + strlen (json), "\": %u, ", number++);
        }
    }
    for (; number < 256; next++) {
        strcat (json, "\"");
        append_code (json, next);
        sprintf (json + strlen (json), "\": %u, ", number++);
    }
    strcat (json, "\"he\": 256, \"ll\": 257, \"hell\": 258, \"hello\": 259, \"\xc4\xa0w\": 260, "
                  "\"<|endoftext|>\": 261");
    strcat (strcat (json, more), "}");
    char *path = in_folder ("encoder.json");
    write_file (path, json);
    free (path);
    path = in_folder ("vocab.bpe");
    write_file (path, merges);
    free (path);
}

static void write_gpt2 (const char *merges) { write_gpt2_with (merges, ""); }

static const char good_merges[] = "#version: 0.2\nh e\nl l\nhe ll\nhell o\n\xc4\xa0 w\n";

static void gpt2_files_encode_as_gpt2_does (void **state)
{
    (void)state;
    struct mu_tokenizer *tokenizer;
    struct mu_error error = { 0 };
    char name[64];
    snprintf (name, sizeof name, "gpt2:%s", folder);
    write_gpt2 (good_merges);
    /* The sum is not OpenAI's: refused, unless allowed. */
    assert_int_equal (mu_tokenizer_open (&tokenizer, name, false, &error), -1);
    assert_non_null (strstr (error.text, "1ce1664773c50f3e"));
    assert_null (tokenizer);
    assert_int_equal (mu_tokenizer_open (&tokenizer, name, true, &error), 0);
    assert_int_equal (mu_tokenizer_vocabulary (tokenizer), 262);
    assert_int_equal (mu_tokenizer_end_of_text (tokenizer), 261);
    static const struct {
        const char *text;
        size_t count;
        int32_t tokens[8];
    } cases[] = {
        { "hello world", 6, { 259, 260, 78, 81, 75, 67 } },
        { "!A a~", 5, { 0, 32, 220, 64, 93 } },
        { "\n", 1, { 198 } },            /* as in GPT-2 */
        { "\xc3\xa9", 2, { 127, 102 } }, /* é: the bytes c3 and a9, as in GPT-2 */
        { "helo", 3, { 256, 75, 78 } },
        { "<|endoftext|>", 0, { 0 } }, /* as text it is text */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int32_t *tokens;
        size_t count;
        assert_int_equal (mu_tokenizer_encode (tokenizer, cases[i].text, strlen (cases[i].text),
                                               &tokens, &count, &error),
                          0);
        if (cases[i].count) {
            assert_int_equal (count, cases[i].count);
            assert_memory_equal (tokens, cases[i].tokens, count * sizeof *tokens);
        }
        for (size_t k = 0; k < count; k++)
            assert_int_not_equal (tokens[k], 261);
        char *back = mu_data_decode (tokenizer, tokens, count, NULL, &error);
        assert_string_equal (back, cases[i].text);
        free (back);
        free (tokens);
    }
    struct tokens kept = { .count = 0 };
    struct mu_encoder *encoder = mu_encoder_open (tokenizer, keep, &kept);
    assert_int_equal (mu_encoder_text (encoder, "hello", 5, &error), 0);
    assert_int_equal (mu_encoder_end (encoder, &error), 0);
    assert_int_equal (kept.count, 2);
    assert_int_equal (kept.list[1], 261);
    char *end = mu_data_decode (tokenizer, kept.list, 2, NULL, &error);
    assert_string_equal (end, "hello<|endoftext|>");
    free (end);
    mu_encoder_close (&encoder);
    mu_tokenizer_close (&tokenizer);
}

static void bad_gpt2_files_are_refused (void **state)
{
    (void)state;
    static const char *const merges[] = { "#version: 0.2\nx yz q\n", "#version: 0.2\nh\n",
                                          "#version: 0.2\nx y\n" };
    struct mu_tokenizer *tokenizer;
    struct mu_error error;
    char name[64];
    snprintf (name, sizeof name, "gpt2:%s", folder);
    for (size_t i = 0; i < 3; i++) {
        write_gpt2 (merges[i]);
        assert_int_equal (mu_tokenizer_open (&tokenizer, name, true, &error), -1);
        assert_non_null (strstr (error.text, "vocab.bpe:2"));
    }
    write_gpt2 (good_merges);
    char *path = in_folder ("encoder.json");
    static const char *const encoders[] = { "", "[]", "{\"a\": 1}", "{\"a\"" };
    for (size_t i = 0; i < 4; i++) {
        write_file (path, encoders[i]);
        assert_int_equal (mu_tokenizer_open (&tokenizer, name, true, &error), -1);
        assert_non_null (strstr (error.text, "encoder.json"));
    }
    /* A character of three bytes is not two of the alphabet, though its bytes look like it. */
    write_gpt2_with (good_merges, ", \"\xe2\xa1\xa1\": 262");
    assert_int_equal (mu_tokenizer_open (&tokenizer, name, true, &error), -1);
    assert_non_null (strstr (error.text, "stands for no byte"));
    unlink (path);
    assert_int_equal (mu_tokenizer_open (&tokenizer, name, true, &error), -1);
    assert_int_equal (error.code, MU_NO_INPUT);
    free (path);
}

static int make_folder (void **state)
{
    (void)state;
    return mkdtemp (folder) ? 0 : -1;
}

static int remove_folder (void **state)
{
    static const char *const names[] = { "story.bpe", "encoder.json", "vocab.bpe" };
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        char *path = in_folder (names[i]);
        unlink (path);
        free (path);
    }
    return rmdir (folder);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (pieces_follow_gpt2s_pattern),
        cmocka_unit_test (a_piece_that_may_go_on_is_kept_back),
        cmocka_unit_test (training_takes_the_most_frequent_pair),
        cmocka_unit_test (ties_go_to_the_lower_tokens),
        cmocka_unit_test (training_stops_when_nothing_repeats),
        cmocka_unit_test (training_agrees_with_a_slow_one),
        cmocka_unit_test (training_does_not_see_how_text_is_cut),
        cmocka_unit_test (decoding_undoes_encoding),
        cmocka_unit_test (encoding_does_not_see_how_text_is_cut),
        cmocka_unit_test (encoding_agrees_with_the_definition),
        cmocka_unit_test (a_very_long_piece_is_quick),
        cmocka_unit_test (bad_tokenizers_are_refused),
        cmocka_unit_test (gpt2_files_encode_as_gpt2_does),
        cmocka_unit_test (bad_gpt2_files_are_refused),
    };
    return cmocka_run_group_tests (tests, make_folder, remove_folder);
}
