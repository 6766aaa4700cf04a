/* Truncation, added tokens, small vocabularies, and files and texts that are hostile. */
#include "nclip/support/error.h"
#include "nclip/support/files.h"
#include "nclip/tokenizer/tokenizer.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include <cmocka.h>

#define GOLDEN "tokenizer/golden_tokenizer"

static struct nc_tokenizer *golden(enum nc_tokenizer_rules rules)
{
    struct nc_tokenizer *tokenizer;
    assert_int_equal(nc_tokenizer_load(GOLDEN, rules, &tokenizer), NC_OK);
    return tokenizer;
}

static int encode(const struct nc_tokenizer *tokenizer, const char *text, size_t context,
                  enum nc_truncation truncation, struct nc_tokens *tokens)
{
    return nc_tokenizer_encode(tokenizer, text, strlen(text), context, truncation, tokens);
}

/* ---- what is done with long texts */

static void test_truncation(void **state)
{
    (void)state;
    struct nc_tokenizer *tokenizer = golden(NC_TOKENIZER_TRANSFORMERS);
    int32_t end = nc_tokenizer_end(tokenizer);
    struct nc_tokens full = {0}, cut = {0};
    const char *text = "a cat in the sun and a dog in the rain";
    assert_int_equal(encode(tokenizer, text, 0, NC_TRUNCATE, &full), NC_OK);
    assert_true(full.count > 8);
    assert_int_equal(full.full_count, full.count);
    assert_false(full.truncated);
    for (size_t context = 2; context <= full.count + 1; context++) {
        assert_int_equal(encode(tokenizer, text, context, NC_TRUNCATE, &cut), NC_OK);
        size_t count = context < full.count ? context : full.count;
        assert_int_equal(cut.count, count);
        assert_int_equal(cut.full_count, full.count);
        assert_int_equal(cut.truncated, context < full.count);
        assert_memory_equal(cut.ids, full.ids, (count - 1) * sizeof *full.ids);
        assert_int_equal(cut.ids[count - 1], end);

        bool fits = context >= full.count;
        assert_int_equal(encode(tokenizer, text, context, NC_TRUNCATE_ERROR, &cut),
                         fits ? NC_OK : NC_BAD_INPUT);
        assert_int_equal(cut.count, fits ? full.count : 0);
        assert_int_equal(encode(tokenizer, text, context, NC_TRUNCATE_SKIP, &cut), NC_OK);
        assert_int_equal(cut.skipped, !fits);
        assert_int_equal(cut.count, fits ? full.count : 0);
    }
    assert_int_equal(encode(tokenizer, text, 1, NC_TRUNCATE, &cut), NC_USAGE);
    assert_int_equal(encode(tokenizer, text, 5, NC_TRUNCATE_ERROR, &cut), NC_BAD_INPUT);
    assert_non_null(strstr(nc_error_message(), "5"));
    nc_tokens_free(&full);
    nc_tokens_free(&cut);
    nc_tokens_free(&cut);
    nc_tokenizer_destroy(tokenizer);
    nc_tokenizer_destroy(NULL);
}

/* For every context: the flag is set exactly when the ids of the text up to and with
 * its last negation word do not fit. */
static void check_negation(const struct nc_tokenizer *tokenizer, const char *up_to,
                           const char *after)
{
    struct nc_tokens head = {0}, cut = {0};
    char text[256];
    snprintf(text, sizeof text, "%s%s", up_to, after);
    assert_int_equal(encode(tokenizer, up_to, 0, NC_TRUNCATE, &head), NC_OK);
    for (size_t context = 2; context < 30; context++) {
        assert_int_equal(encode(tokenizer, text, context, NC_TRUNCATE, &cut), NC_OK);
        assert_int_equal(cut.negation_lost, cut.truncated && context < head.count);
    }
    nc_tokens_free(&head);
    nc_tokens_free(&cut);
}

static void test_negation_lost(void **state)
{
    (void)state;
    struct nc_tokenizer *tokenizers[] = {golden(NC_TOKENIZER_TRANSFORMERS),
                                         golden(NC_TOKENIZER_OPEN_CLIP)};
    for (int i = 0; i < 2; i++) {
        check_negation(tokenizers[i], "a cat with no", " dog in the sun");
        check_negation(tokenizers[i], "the cat isn't", " in the sun");
        check_negation(tokenizers[i], "the cat isn\xe2\x80\x99t", " in the sun");
        check_negation(tokenizers[i], "caf\xc3\xa9 \xe6\x97\xa5\xe6\x9c\xac without", " a dog");
        check_negation(tokenizers[i], "not <|endoftext|> and <end_of_text> never", ", it seems");
        struct nc_tokens cut = {0};
        assert_int_equal(
            encode(tokenizers[i], "a cat, a dog and another knot", 4, NC_TRUNCATE, &cut), NC_OK);
        assert_true(cut.truncated);
        assert_false(cut.negation_lost);
        nc_tokens_free(&cut);
        nc_tokenizer_destroy(tokenizers[i]);
    }
}

static void test_names(void **state)
{
    (void)state;
    enum nc_tokenizer_rules rules;
    enum nc_truncation truncation;
    assert_int_equal(nc_tokenizer_rules_parse("open_clip", &rules), NC_OK);
    assert_int_equal(rules, NC_TOKENIZER_OPEN_CLIP);
    assert_int_equal(nc_tokenizer_rules_parse("transformers", &rules), NC_OK);
    assert_int_equal(rules, NC_TOKENIZER_TRANSFORMERS);
    assert_int_equal(nc_tokenizer_rules_parse("openclip", &rules), NC_USAGE);
    assert_int_equal(nc_truncation_parse("skip", &truncation), NC_OK);
    assert_int_equal(truncation, NC_TRUNCATE_SKIP);
    assert_int_equal(nc_truncation_parse("error", &truncation), NC_OK);
    assert_int_equal(truncation, NC_TRUNCATE_ERROR);
    assert_int_equal(nc_truncation_parse("truncate", &truncation), NC_OK);
    assert_int_equal(truncation, NC_TRUNCATE);
    assert_int_equal(nc_truncation_parse("", &truncation), NC_USAGE);
}

static void test_pieces(void **state)
{
    (void)state;
    struct nc_tokenizer *tokenizer = golden(NC_TOKENIZER_TRANSFORMERS);
    size_t size = nc_tokenizer_vocabulary_size(tokenizer);
    assert_string_equal(nc_tokenizer_piece(tokenizer, 0), "!");
    assert_string_equal(nc_tokenizer_piece(tokenizer, 256 + 64), "a</w>");
    assert_string_equal(nc_tokenizer_piece(tokenizer, nc_tokenizer_start(tokenizer)),
                        "<|startoftext|>");
    assert_string_equal(nc_tokenizer_piece(tokenizer, nc_tokenizer_end(tokenizer)),
                        "<|endoftext|>");
    assert_null(nc_tokenizer_piece(tokenizer, -1));
    assert_null(nc_tokenizer_piece(tokenizer, (int32_t)size));
    nc_tokenizer_destroy(tokenizer);
}

/* ---- long words */

static void test_long_words(void **state)
{
    (void)state;
    static const char *const texts[] = {"aaaaaaaaaaaaaaaa", "thethethethingsinging", "abcdefghij"};
    enum { LENGTH = 400 };
    for (int rules = 0; rules < 2; rules++) {
        struct nc_tokenizer *tokenizer = golden((enum nc_tokenizer_rules)rules);
        struct nc_tokens whole = {0};
        for (size_t t = 0; t < 3; t++) {
            char word[LENGTH + 1];
            for (size_t i = 0; i < LENGTH; i++)
                word[i] = texts[t][i % strlen(texts[t])];
            for (size_t length = 1; length <= LENGTH; length++) {
                /* The ids spell the word again. */
                assert_int_equal(
                    nc_tokenizer_encode(tokenizer, word, length, 0, NC_TRUNCATE, &whole), NC_OK);
                char spelled[LENGTH + 8] = "";
                for (size_t i = 1; i + 1 < whole.count; i++)
                    strcat(spelled, nc_tokenizer_piece(tokenizer, whole.ids[i]));
                assert_int_equal(strlen(spelled), length + 4);
                assert_memory_equal(spelled, word, length);
                assert_string_equal(spelled + length, "</w>");
            }
        }
        nc_tokens_free(&whole);
        nc_tokenizer_destroy(tokenizer);
    }
}

static void test_huge_texts(void **state)
{
    (void)state;
    /* In time that grows with the length: each would take minutes if it were squared. */
    enum { SIZE = 1 << 20 };
    static const char *const fillers[] = {
        "a",    "\xcc\xa3\xcc\x81", "\xce\xa3'", "!", " ",  "a ", "\xe1\x84\x92\xe1\x85\xa1",
        "\xff", "\xc3\x83\xc2\xa9", "\x1b[3",    "<", "&#x"};
    char *text = malloc(SIZE);
    assert_non_null(text);
    for (int rules = 0; rules < 2; rules++) {
        struct nc_tokenizer *tokenizer = golden((enum nc_tokenizer_rules)rules);
        struct nc_tokens tokens = {0};
        for (size_t f = 0; f < sizeof fillers / sizeof *fillers; f++) {
            size_t length = strlen(fillers[f]);
            bool entity = fillers[f][length - 1] == ';'; /* one in the other: &amp;amp; */
            text[0] = '&';
            for (size_t i = entity; i < SIZE; i++)
                text[i] = fillers[f][(i - entity) % length];
            assert_int_equal(nc_tokenizer_encode(tokenizer, text, SIZE, 77, NC_TRUNCATE, &tokens),
                             NC_OK);
            assert_true(tokens.count >= 2 && tokens.count <= 77);
            assert_int_equal(tokens.ids[tokens.count - 1], nc_tokenizer_end(tokenizer));
        }
        assert_int_equal(
            nc_tokenizer_encode(tokenizer, text, (size_t)1 << 40, 77, NC_TRUNCATE, &tokens),
            NC_BAD_INPUT);
        assert_int_equal(tokens.count, 0);
        nc_tokens_free(&tokens);
        nc_tokenizer_destroy(tokenizer);
    }
    free(text);
}

/* ---- threads */

struct job {
    const struct nc_tokenizer *tokenizer;
    int32_t ids[64];
    size_t count;
    bool steady;
};

static void *encode_often(void *argument)
{
    struct job *job = argument;
    const char *text = "a photo of a caf\xc3\xa9 &amp; \xc3\x83\xc2\xa9 without people";
    struct nc_tokens tokens = {0};
    job->steady = true;
    for (int i = 0; i < 2000; i++) {
        if (encode(job->tokenizer, text, 64, NC_TRUNCATE, &tokens) != NC_OK)
            job->steady = false;
        if (i > 0 && (tokens.count != job->count ||
                      memcmp(tokens.ids, job->ids, job->count * sizeof *job->ids) != 0))
            job->steady = false;
        job->count = tokens.count;
        memcpy(job->ids, tokens.ids, tokens.count * sizeof *job->ids);
    }
    nc_tokens_free(&tokens);
    return NULL;
}

static void test_threads(void **state)
{
    (void)state;
    struct nc_tokenizer *tokenizer = golden(NC_TOKENIZER_OPEN_CLIP);
    struct job jobs[4];
    pthread_t threads[4];
    for (int i = 0; i < 4; i++) {
        jobs[i] = (struct job){.tokenizer = tokenizer};
        assert_int_equal(pthread_create(&threads[i], NULL, encode_often, &jobs[i]), 0);
    }
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    for (int i = 0; i < 4; i++) {
        assert_true(jobs[i].steady);
        assert_true(jobs[i].count > 4);
        assert_int_equal(jobs[i].count, jobs[0].count);
        assert_memory_equal(jobs[i].ids, jobs[0].ids, jobs[0].count * sizeof(int32_t));
    }
    nc_tokenizer_destroy(tokenizer);
}

/* ---- files */

static char folder[] = "/tmp/nclip-tokenizer-XXXXXX";

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    return nc_folder_remove(folder);
}

static void put(const char *name, const void *data, size_t size)
{
    char *path = nc_path_join(folder, name);
    assert_int_equal(nc_file_write(path, data, size), NC_OK);
    free(path);
}

static void put_text(const char *name, const char *text)
{
    put(name, text, strlen(text));
}

static void drop(const char *name)
{
    char *path = nc_path_join(folder, name);
    unlink(path);
    free(path);
}

/* Loading the folder fails with NC_BAD_INPUT and a message that holds `words`. */
static void refuse(const char *words)
{
    struct nc_tokenizer *tokenizer;
    int status = nc_tokenizer_load(folder, NC_TOKENIZER_TRANSFORMERS, &tokenizer);
    if (status != NC_BAD_INPUT || !strstr(nc_error_message(), words))
        print_error("expected \"%s\", got %d: %s\n", words, status, nc_error_message());
    assert_int_equal(status, NC_BAD_INPUT);
    assert_non_null(strstr(nc_error_message(), words));
    assert_non_null(strstr(nc_error_message(), folder));
    assert_null(tokenizer);
}

#define VOCAB                                                                                      \
    "{\"a\":0,\"b\":1,\"a</w>\":2,\"b</w>\":3,\"ab</w>\":4,\"<|startoftext|>\":5,"                 \
    "\"<|endoftext|>\":6}"

static void test_small_vocabulary(void **state)
{
    (void)state;
    put_text("vocab.json", VOCAB);
    put_text("merges.txt", "#version: 0.2\r\na b</w>\r\n\r\n");
    struct nc_tokenizer *tokenizer;
    struct nc_tokens tokens = {0};
    assert_int_equal(nc_tokenizer_load(folder, NC_TOKENIZER_TRANSFORMERS, &tokenizer), NC_OK);
    assert_int_equal(encode(tokenizer, "AB ba x<|startoftext|>", 0, NC_TRUNCATE, &tokens), NC_OK);
    const int32_t expected[] = {5, 4, 1, 2, 6 /* unknown */, 5, 6};
    assert_int_equal(tokens.count, 7);
    assert_memory_equal(tokens.ids, expected, sizeof expected);
    nc_tokens_free(&tokens);
    nc_tokenizer_destroy(tokenizer);
    drop("vocab.json");
    drop("merges.txt");
}

/* Special tokens as other files beside the vocabulary want them. */
static void test_added_tokens(void **state)
{
    (void)state;
    put_text("vocab.json", VOCAB);
    put_text("merges.txt", "a b</w>\n");
    put_text("special_tokens_map.json",
             "{\"bos_token\":{\"content\":\"<|startoftext|>\",\"normalized\":true},"
             "\"pad_token\":\"b\"}");
    put_text("added_tokens.json", "{\"<A>\":9,\"<A>b\":10}");
    struct nc_tokenizer *tokenizer;
    struct nc_tokens tokens = {0};
    assert_int_equal(nc_tokenizer_load(folder, NC_TOKENIZER_TRANSFORMERS, &tokenizer), NC_OK);
    assert_int_equal(nc_tokenizer_vocabulary_size(tokenizer), 9);
    assert_int_equal(encode(tokenizer, "<|STARTOFTEXT|>ab<a><A>B", 0, NC_TRUNCATE, &tokens), NC_OK);
    const int32_t expected[] = {5, 5, 2, 1, 7, 8, 6};
    assert_int_equal(tokens.count, 7);
    assert_memory_equal(tokens.ids, expected, sizeof expected);
    nc_tokenizer_destroy(tokenizer);

    /* The list in tokenizer_config.json outweighs both. */
    put_text("tokenizer_config.json",
             "{\"eos_token\":\"b\",\"added_tokens_decoder\":{\"4\":{\"content\":\"ab</w>\"}}}");
    assert_int_equal(nc_tokenizer_load(folder, NC_TOKENIZER_TRANSFORMERS, &tokenizer), NC_OK);
    assert_int_equal(nc_tokenizer_end(tokenizer), 1);
    assert_int_equal(nc_tokenizer_vocabulary_size(tokenizer), 7);
    assert_int_equal(encode(tokenizer, "aAB</w>", 0, NC_TRUNCATE, &tokens), NC_OK);
    const int32_t listed[] = {5, 2, 4, 1};
    assert_int_equal(tokens.count, 4);
    assert_memory_equal(tokens.ids, listed, sizeof listed);
    nc_tokenizer_destroy(tokenizer);
    nc_tokens_free(&tokens);

    put_text("tokenizer_config.json", "{\"eos_token\":\"</s>\"}");
    refuse("\"</s>\"");
    put_text("tokenizer_config.json", "{\"eos_token\":7}");
    refuse("content");
    put_text("tokenizer_config.json", "[]");
    refuse("tokenizer_config.json");
    put_text("tokenizer_config.json",
             "{\"bos_token\":{\"content\":\"<|startoftext|>\",\"single_word\":true}}");
    refuse("single_word");
    drop("special_tokens_map.json"); /* it would name another start */
    put_text("tokenizer_config.json", "{\"bos_token\":\"\"}");
    refuse("lacks");
    drop("tokenizer_config.json");
    put_text("added_tokens.json", "{\"<A>\":\"9\"}");
    refuse("added_tokens.json");
    drop("added_tokens.json");
    drop("vocab.json");
    drop("merges.txt");
}

static void test_hostile_json(void **state)
{
    (void)state;
    refuse("no tokenizer in this folder");
    put_text("vocab.json", VOCAB);
    refuse("merges.txt");
    put_text("merges.txt", "a b</w>\na c</w>\n");
    refuse("merge 2 takes \"c</w>\"");
    put_text("merges.txt", "b a</w>\n");
    refuse("merge 1 makes \"ba</w>\"");
    put_text("merges.txt", "a  b</w>\n");
    refuse("two pieces");
    put_text("merges.txt", "ab</w>\n");
    refuse("two pieces");
    put_text("merges.txt", " b</w>\n");
    refuse("two pieces");
    put_text("merges.txt", "a b</w>\n");

    char cut[] = VOCAB;
    for (size_t length = sizeof VOCAB - 2; length > 0; length -= 7) {
        put("vocab.json", cut, length);
        refuse("vocab.json");
        if (length < 8)
            break;
    }
    put_text("vocab.json", "");
    refuse("no tokenizer");
    put_text("vocab.json", "{}");
    refuse("no letter ends in");
    put_text("vocab.json", "{\"a\":0,\"a</w>\":0}");
    refuse("both have the id 0");
    put_text("vocab.json", "{\"a</w>\":0,\"a</w>\":1}");
    refuse("twice");
    put_text("vocab.json", "{\"a</w>\":-1}");
    refuse("whole number");
    put_text("vocab.json", "{\"a</w>\":0.5}");
    refuse("whole number");
    put_text("vocab.json", "{\"a</w>\":1e300}");
    refuse("whole number");
    put_text("vocab.json", "{\"a</w>\":4194304}");
    refuse("whole number");
    put_text("vocab.json", "{\"a</w>\":\"0\"}");
    refuse("whole number");
    put_text("vocab.json", "{\"a\":0,\"b\":1,\"a</w>\":2,\"b</w>\":3,\"ab</w>\":4}");
    refuse("<|startoftext|>");
    put_text("vocab.json", "{\"a</w>\":0,\"<|startoftext|>\":1,\"<|endoftext|>\":4194303}");
    put_text("merges.txt", "");
    struct nc_tokenizer *tokenizer; /* far apart, but allowed */
    assert_int_equal(nc_tokenizer_load(folder, NC_TOKENIZER_OPEN_CLIP, &tokenizer), NC_OK);
    assert_int_equal(nc_tokenizer_vocabulary_size(tokenizer), 4194304);
    nc_tokenizer_destroy(tokenizer);

    put_text("tokenizer.json", "{\"model\":{\"vocab\":" VOCAB ",\"merges\":[\"a b</w>\"]}");
    refuse("tokenizer.json");
    put_text("tokenizer.json", "{\"model\":{\"vocab\":" VOCAB "}}");
    refuse("\"merges\" is missing");
    put_text("tokenizer.json", "{\"model\":{\"vocab\":[],\"merges\":[]}}");
    refuse("\"vocab\" is not an object");
    put_text("tokenizer.json", "{\"model\":{\"vocab\":" VOCAB ",\"merges\":[[\"a\"]]}}");
    refuse("merge 1");
    put_text("tokenizer.json",
             "{\"model\":{\"vocab\":" VOCAB ",\"merges\":[[\"a\",\"b</w>\",\"a\"]]}}");
    refuse("merge 1");
    put_text("tokenizer.json", "{\"model\":{\"vocab\":" VOCAB ",\"merges\":[7]}}");
    refuse("merge 1");
    put_text("tokenizer.json",
             "{\"model\":{\"type\":\"WordPiece\",\"vocab\":" VOCAB ",\"merges\":[]}}");
    refuse("not a CLIP tokenizer");
    put_text("tokenizer.json", "{\"added_tokens\":[{\"id\":1}],\"model\":{\"vocab\":" VOCAB
                               ",\"merges\":[[\"a\",\"b</w>\"]]}}");
    refuse("\"content\" is missing");
    /* What another normalizer or splitter would make of a text is not what is made here. */
    static const char *const stages[][2] = {
        {"\"normalizer\":{\"type\":\"NFC\"}", "its normalizer (NFC) is not CLIP's"},
        {"\"normalizer\":null", "its normalizer (none) is not CLIP's"},
        {"\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"NFC\"},{\"type\":"
         "\"StripAccents\"},{\"type\":\"Lowercase\"}]}",
         "its normalizer (NFC, StripAccents, Lowercase)"},
        {"\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":false}",
         "its pre_tokenizer (ByteLevel) is not CLIP's"},
    };
    for (size_t i = 0; i < sizeof stages / sizeof *stages; i++) {
        char text[4096];
        snprintf(text, sizeof text, "{%s,\"model\":{\"vocab\":" VOCAB ",\"merges\":[]}}",
                 stages[i][0]);
        put_text("tokenizer.json", text);
        refuse(stages[i][1]);
    }
    drop("tokenizer.json");
    drop("vocab.json");
    drop("merges.txt");
}

static void put_gz(const char *text, size_t size, size_t times)
{
    char *path = nc_path_join(folder, "bpe_simple_vocab_16e6.txt.gz");
    gzFile file = gzopen(path, "wb");
    assert_non_null(file);
    for (size_t i = 0; i < times; i++)
        assert_int_equal(gzwrite(file, text, (unsigned)size), size);
    gzclose(file);
    free(path);
}

/* Merges that no training makes: the references differ, and so do the rules, in short
 * words as in long ones. */
static void test_odd_merges(void **state)
{
    (void)state;
    static const int32_t expected[2][7] = {{64, 513, 66, 65, 320}, {64, 514, 513, 320}};
    static const size_t counts[2] = {5, 4};
    const char *merges = "header\nb a\nbc b\nb c";
    put_gz(merges, strlen(merges), 1);
    for (int rules = 0; rules < 2; rules++) {
        struct nc_tokenizer *tokenizer;
        struct nc_tokens tokens = {0};
        assert_int_equal(nc_tokenizer_load(folder, (enum nc_tokenizer_rules)rules, &tokenizer),
                         NC_OK);
        for (size_t before = 0; before < 100; before++) {
            char text[128];
            memset(text, 'c', before);
            strcpy(text + before, "abcbcba");
            assert_int_equal(encode(tokenizer, text, 0, NC_TRUNCATE, &tokens), NC_OK);
            assert_int_equal(tokens.count, 1 + before + counts[rules] + 1);
            assert_memory_equal(tokens.ids + 1 + before, expected[rules],
                                counts[rules] * sizeof(int32_t));
        }
        nc_tokens_free(&tokens);
        nc_tokenizer_destroy(tokenizer);
    }
    drop("bpe_simple_vocab_16e6.txt.gz");
}

static void test_hostile_gz(void **state)
{
    (void)state;
    const char *text = "header\nt h\nth e</w>";
    struct nc_tokenizer *tokenizer;
    put_gz(text, strlen(text), 1);
    assert_int_equal(nc_tokenizer_load(folder, NC_TOKENIZER_OPEN_CLIP, &tokenizer), NC_OK);
    assert_int_equal(nc_tokenizer_vocabulary_size(tokenizer), 516);
    assert_string_equal(nc_tokenizer_piece(tokenizer, 513), "the</w>");
    nc_tokenizer_destroy(tokenizer);

    /* The line feed at the end opens an empty line, which takes an id as in open_clip. */
    put_gz("header\nt h\n", 11, 1);
    assert_int_equal(nc_tokenizer_load(folder, NC_TOKENIZER_OPEN_CLIP, &tokenizer), NC_OK);
    assert_int_equal(nc_tokenizer_start(tokenizer), 514);
    assert_null(nc_tokenizer_piece(tokenizer, 513));
    nc_tokenizer_destroy(tokenizer);

    put_gz("header\nt q</w> x", 16, 1);
    refuse("line 2");
    put_gz("header\nt qq", 11, 1);
    refuse("which the vocabulary lacks");
    put_gz("", 0, 1);
    assert_int_equal(nc_tokenizer_load(folder, NC_TOKENIZER_OPEN_CLIP, &tokenizer), NC_OK);
    assert_int_equal(nc_tokenizer_vocabulary_size(tokenizer), 514);
    nc_tokenizer_destroy(tokenizer);

    /* Unpacks to 256 MiB. */
    char *zeros = calloc(1, 1 << 20);
    assert_non_null(zeros);
    put_gz(zeros, 1 << 20, 256);
    free(zeros);
    refuse("MiB allowed");

    /* Every cut and every changed byte is refused or read, and nothing crashes. */
    char *path = nc_path_join(folder, "bpe_simple_vocab_16e6.txt.gz"), *data;
    size_t size, refused = 0;
    assert_int_equal(nc_file_read(GOLDEN "/bpe.txt.gz", 1 << 20, &data, &size), NC_OK);
    for (size_t length = 0; length < size; length += 97) {
        assert_int_equal(nc_file_write(path, data, length), NC_OK);
        refuse(length < 2 ? "no tokenizer" : length < 10 ? "" : "cut off");
    }
    for (size_t at = 0; at < size; at += 211) {
        data[at] ^= 0x55;
        assert_int_equal(nc_file_write(path, data, size), NC_OK);
        refused += nc_tokenizer_load(folder, NC_TOKENIZER_OPEN_CLIP, &tokenizer) == NC_BAD_INPUT;
        nc_tokenizer_destroy(tokenizer);
        data[at] ^= 0x55;
    }
    assert_true(refused > size / 211 / 2);
    free(data);
    free(path);
    drop("bpe_simple_vocab_16e6.txt.gz");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_truncation),   cmocka_unit_test(test_negation_lost),
        cmocka_unit_test(test_names),        cmocka_unit_test(test_pieces),
        cmocka_unit_test(test_long_words),   cmocka_unit_test(test_huge_texts),
        cmocka_unit_test(test_threads),      cmocka_unit_test(test_small_vocabulary),
        cmocka_unit_test(test_added_tokens), cmocka_unit_test(test_hostile_json),
        cmocka_unit_test(test_odd_merges),   cmocka_unit_test(test_hostile_gz),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
