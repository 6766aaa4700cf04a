/* Training configs: presets, files and overrides, and every kind of wrong value. */
#include "../support/temporary_folder.h"

#include "nclip/support/error.h"
#include "nclip/support/files.h"
#include "nclip/train/train.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static char *folder, *path;

static int make_folder(void **state)
{
    (void)state;
    folder = temporary_folder_create();
    path = nc_path_join(folder, "run.yaml");
    return path ? 0 : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    temporary_folder_remove(folder);
    free(path);
    return 0;
}

static struct nc_config *load(const char *source, const char *override)
{
    struct nc_config *config;
    int status = nc_config_load(source, &override, override ? 1 : 0, &config);
    if (status != NC_OK)
        fail_msg("%s", nc_error_message());
    return config;
}

static struct nc_config *load_text(const char *text)
{
    assert_int_equal(nc_file_write(path, text, strlen(text)), NC_OK);
    return load(path, NULL);
}

/* The text is refused, and the message holds all of `parts` (separated by '|'). */
static void refuse(int status, const char *parts)
{
    char copy[512];
    snprintf(copy, sizeof copy, "%s", parts);
    for (char *rest = copy, *part; (part = strsep(&rest, "|"));) {
        if (!strstr(nc_error_message(), part))
            fail_msg("\"%s\" is not in: %s", part, nc_error_message());
    }
    assert_null(strchr(nc_error_message(), '\n'));
    assert_int_not_equal(status, NC_OK);
}

static void refuse_bytes(const char *text, size_t size, const char *parts)
{
    struct nc_config *config;
    assert_int_equal(nc_file_write(path, text, size), NC_OK);
    int status = nc_config_load(path, NULL, 0, &config);
    refuse(status, parts);
    assert_int_equal(status, NC_BAD_INPUT);
    assert_null(config);
}

static void refuse_text(const char *text, const char *parts)
{
    refuse_bytes(text, strlen(text), parts);
}

static void refuse_override(const char *override, const char *parts)
{
    struct nc_config *config;
    int status = nc_config_load("default", &override, 1, &config);
    refuse(status, parts);
    assert_int_equal(status, NC_USAGE);
    assert_null(config);
}

static void assert_trains_paper_list(const struct nc_config *config)
{
    static const char *const names[] = {"token_embedding", "position_embedding", "blocks",
                                        "projection", "logit_scale"};
    assert_int_equal(config->trainable_count, 5);
    for (size_t i = 0; i < 5; i++)
        assert_string_equal(config->trainable[i], names[i]);
}

static void negationclip_is_the_paper(void **state)
{
    (void)state;
    struct nc_config *config = load("negationclip", NULL);
    assert_int_equal(config->batch_size, 512);
    assert_int_equal(config->micro_batch_size, 0);
    assert_true(config->learning_rate == 1e-6);
    assert_int_equal(config->schedule, NC_SCHEDULE_CONSTANT);
    assert_int_equal(config->warmup_steps, 0);
    assert_int_equal(config->epochs, 15);
    assert_true(config->beta1 == 0.9 && config->beta2 == 0.999 && config->epsilon == 1e-8);
    assert_true(config->weight_decay == 0.01);
    assert_true(config->gradient_clip == 0 && config->logit_scale_max == 0);
    assert_int_equal(config->precision, NC_FLOAT32);
    assert_true(config->validation_fraction == 0.2);
    assert_int_equal(config->split, NC_SPLIT_CAPTION);
    assert_false(config->drop_last);
    assert_false(config->mask_same_image);
    assert_false(config->contradictions);
    assert_true(config->share_prefixes);
    assert_int_equal(config->too_long, NC_TOO_LONG_TRUNCATE);
    assert_int_equal(config->seed, 42);
    assert_trains_paper_list(config);
    nc_config_free(config);
}

static void default_is_corrected(void **state)
{
    (void)state;
    struct nc_config *config = load("default", NULL);
    assert_int_equal(config->split, NC_SPLIT_IMAGE);
    assert_true(config->logit_scale_max == log(100));
    assert_true(config->mask_same_image);
    assert_int_equal(config->schedule, NC_SCHEDULE_COSINE);
    assert_true(config->warmup_steps > 0);
    assert_int_equal(config->precision, NC_BFLOAT16);
    assert_trains_paper_list(config);
    nc_config_free(config);
}

static void presets_set_every_key(void **state)
{
    (void)state;
    struct nc_config *config = load("default", NULL);
    char *text;
    assert_int_equal(nc_config_text(config, &text), NC_OK);
    assert_non_null(nc_config_presets()[0]);
    for (const char *const *name = nc_config_presets(); *name; name++) {
        char file[64], *preset;
        size_t size;
        snprintf(file, sizeof file, "../configs/%s.yaml", *name);
        assert_int_equal(nc_file_read(file, 1 << 20, &preset, &size), NC_OK);
        for (const char *line = text; *line; line += strcspn(line, "\n") + 1) {
            char key[64];
            if (*line == '\n' || *line == '#')
                continue;
            snprintf(key, sizeof key, "\n%.*s", (int)strcspn(line, ":") + 1, line);
            if (!strstr(preset, key))
                fail_msg("%s does not set%s", file, key);
        }
        free(preset);
    }
    free(text);
    nc_config_free(config);
}

static void left_out_keys_are_default(void **state)
{
    (void)state;
    struct nc_config *config = load_text("# mine\nbatch_size: 64\ntrainable:\n  - blocks.0-3\n");
    assert_int_equal(config->batch_size, 64);
    assert_int_equal(config->trainable_count, 1);
    assert_string_equal(config->trainable[0], "blocks.0-3");
    assert_int_equal(config->split, NC_SPLIT_IMAGE);
    assert_int_equal(config->epochs, 15);
    nc_config_free(config);

    config = load_text("");
    assert_int_equal(config->batch_size, 512);
    nc_config_free(config);
    config = load_text("# nothing but a comment\n");
    assert_int_equal(config->batch_size, 512);
    nc_config_free(config);
}

static void overrides_win(void **state)
{
    (void)state;
    struct nc_config *config;
    const char *overrides[] = {
        "batch_size=32",  "learning_rate=1e-3", "trainable=blocks.7, projection", "split=caption",
        "precision=fp32", "drop_last=yes",      "seed=18446744073709551615",      "batch_size=33"};
    assert_int_equal(nc_config_load("default", overrides, 8, &config), NC_OK);
    assert_int_equal(config->batch_size, 33);
    assert_true(config->learning_rate == 1e-3);
    assert_int_equal(config->trainable_count, 2);
    assert_string_equal(config->trainable[0], "blocks.7");
    assert_string_equal(config->trainable[1], "projection");
    assert_int_equal(config->split, NC_SPLIT_CAPTION);
    assert_int_equal(config->precision, NC_FLOAT32);
    assert_true(config->drop_last);
    assert_true(config->seed == UINT64_MAX);
    nc_config_free(config);

    config = load("default", "trainable=[all]");
    assert_int_equal(config->trainable_count, 1);
    assert_string_equal(config->trainable[0], "all");
    nc_config_free(config);
}

static void written_config_reads_back(void **state)
{
    (void)state;
    const char *overrides[] = {"learning_rate=0.00012345678901234567",
                               "epsilon=1e-7",
                               "beta1=0.1",
                               "logit_scale_max=4.605170185988092",
                               "seed=18446744073709551615",
                               "micro_batch_size=1000",
                               "too_long=skip",
                               "contradictions=false",
                               "trainable=blocks.0-3,blocks.7"};
    struct nc_config *config;
    assert_int_equal(nc_config_load("negationclip", overrides, 9, &config), NC_OK);
    char *text, *again;
    assert_int_equal(nc_config_text(config, &text), NC_OK);
    assert_int_equal(nc_config_write(config, path), NC_OK);
    struct nc_config *read = load(path, NULL);
    assert_true(read->learning_rate == 0.00012345678901234567);
    assert_true(read->epsilon == 1e-7 && read->beta1 == 0.1);
    assert_true(read->seed == UINT64_MAX);
    assert_int_equal(read->micro_batch_size, 1000);
    assert_int_equal(read->too_long, NC_TOO_LONG_SKIP);
    assert_int_equal(read->trainable_count, 2);
    assert_int_equal(nc_config_text(read, &again), NC_OK);
    assert_string_equal(text, again);
    /* Readers of YAML 1.1 take 1e-07 for a string. */
    assert_non_null(strstr(text, "\nepsilon: 1.0e-07\n"));
    assert_non_null(strstr(text, "\ntrainable: [blocks.0-3, blocks.7]\n"));
    free(text);
    free(again);
    nc_config_free(read);
    nc_config_free(config);
}

static void bad_values_are_named(void **state)
{
    (void)state;
    refuse_text("epochs: 3\nbatch_size: 0\n", "run.yaml line 2: |batch_size is 0|at least 1");
    refuse_text("batch_size: -1\n", "line 1|batch_size is \"-1\"|whole number");
    refuse_text("batch_size: 99999999999999999999\n", "whole number");
    refuse_text("batch_size: 4294967296\n", "at most 2147483647");
    refuse_text("batch_size: 1.5\n", "whole number");
    refuse_text("batch_size:\n", "batch_size is \"\"");
    refuse_text("batch_size: [1]\n", "batch_size must be a single value");
    refuse_text("batch_size: {a: b}\n", "batch_size must be a single value");
    refuse_text("learning_rate: 0\n", "learning_rate is 0: it must be above 0");
    refuse_text("learning_rate: nan\n", "number");
    refuse_text("learning_rate: inf\n", "number");
    refuse_text("learning_rate: 1e999\n", "number");
    refuse_text("learning_rate: 1e-6x\n", "number");
    refuse_text("learning_rate: ' 1'\n", "number");
    refuse_text("learning_rate: \"\"\n", "number");
    refuse_text("beta1: 1\n", "beta1 is 1: it must be at least 0 and below 1");
    refuse_text("beta2: -0.1\n", "at least 0");
    refuse_text("epsilon: 0\n", "above 0");
    refuse_text("epochs: 0\n", "at least 1");
    refuse_text("validation_fraction: 1.0\n", "below 1");
    refuse_text("logit_scale_max: 100\n", "at most 88");
    refuse_text("drop_last: flase\n", "drop_last is \"flase\": it must be true or false");
    refuse_text("schedule: linear\n", "constant or cosine");
    refuse_text("precision: fp16\n", "fp32 or bf16");
    refuse_text("too_long: cut\n", "truncate or error or skip");
    refuse_text("trainable: all\n", "trainable must be a list");
    refuse_text("trainable: []\n", "trainable must be a list");
    refuse_text("trainable:\n", "trainable must be a list");
    refuse_text("trainable: [[a]]\n", "trainable must be a list");
    refuse_text("trainable: ['a b']\n", "\"a b\"");
    refuse_text("trainable: ['']\n", "trainable");
}

static void unknown_keys_are_refused(void **state)
{
    (void)state;
    refuse_text("epochs: 1\nlerning_rate: 1\n",
                "run.yaml line 2|\"lerning_rate\"|did you mean learning_rate?|warmup_steps");
    refuse_text("zzzzz: 1\n", "no key \"zzzzz\"|the keys are|seed");
    refuse_text("epochs: 1\nseed: 2\nepochs: 3\n", "epochs stands there twice");
}

static void not_a_config(void **state)
{
    (void)state;
    refuse_text("- a\n- b\n", "run.yaml");
    refuse_text("hello\n", "run.yaml");
    refuse_text("epochs: 1\n  seed: [\n", "run.yaml");
    refuse_text("epochs: &x 1\nseed: *x\n", "aliases");
    refuse_text("? [a]\n: b\n", "run.yaml");
    refuse_text("epochs: 1\n---\nepochs: 2\n", "run.yaml|documents");
    refuse_text("seed: \xff\xfe\n", "run.yaml");
    refuse_bytes("epochs: 1\0seed: 2", 17, "zero byte");
    char *large = malloc(2 << 20);
    memset(large, '#', 2 << 20);
    refuse_bytes(large, 2 << 20, "larger than");
    /* deep nesting and long keys must not overflow anything */
    memset(large, '[', 4096);
    refuse_bytes(large, 4096, "run.yaml");
    memset(large, 'k', 100000);
    memcpy(large + 100000, ": 1\n", 4);
    refuse_bytes(large, 100004, "run.yaml");
    free(large);
}

static void bad_overrides_are_usage(void **state)
{
    (void)state;
    refuse_override("batch_size=0", "--set batch_size=0|at least 1");
    refuse_override("batch_size", "key=value");
    refuse_override("=3", "key=value");
    refuse_override("batchsize=3", "did you mean batch_size?");
    refuse_override("trainable=", "trainable");
    refuse_override("trainable=a,,b", "trainable");
    refuse_override("seed=", "seed is \"\"");
}

static void missing_sources_are_named(void **state)
{
    (void)state;
    struct nc_config *config;
    int status = nc_config_load("defualt", NULL, 0, &config);
    refuse(status, "defualt|did you mean default?|negationclip");
    assert_int_equal(status, NC_BAD_INPUT);
}

/* What a run of an earlier version wrote is what the same run says today. */
static void new_keys_are_silent_as_before(void **state)
{
    (void)state;
    static const char *const names[] = {"infonce", "choice", "hinge", "preserve",
                                        "hard_negatives", "optimizer", "rmsprop", "momentum",
                                        "rate_decay", "logit_scale_learning", "decay_norms"};
    struct nc_config *config = load("default", NULL), *other = load("default", "choice=0.5");
    char *text, *changed;
    assert_int_equal(nc_config_text(config, &text), NC_OK);
    assert_int_equal(nc_config_text(other, &changed), NC_OK);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        assert_null(strstr(text, names[i]));
    assert_non_null(strstr(changed, "choice: 0.5"));
    free(text);
    free(changed);
    nc_config_free(config);
    nc_config_free(other);
}

static void terms_that_cannot_be_are_named(void **state)
{
    (void)state;
    refuse_text("choice: 1\ncontradictions: false\n", "choice|contradictions");
    refuse_text("hinge_apart: 1\ncontradictions: false\n", "hinge_apart|contradictions");
    refuse_text("hinge_text: 1\nhinge_text_low: 0.5\n", "hinge_text_low|hinge_text_high");
    refuse_text("hinge_picture: -1\n", "hinge_picture|at least 0");
}

static void optimizers_are_read(void **state)
{
    (void)state;
    struct nc_config *config = load_text("optimizer: sgd\nmomentum: 0.9\nrate_decay: 0.99\n"
                                         "logit_scale_learning_rate: 1.0e-3\n"
                                         "decay_norms_and_biases: false\n");
    char *text;
    assert_int_equal(config->optimizer, NC_OPTIMIZER_SGD);
    assert_true(config->momentum == 0.9 && config->rate_decay == 0.99);
    assert_true(config->logit_scale_learning_rate == 1e-3 && !config->decay_norms_and_biases);
    assert_int_equal(nc_config_text(config, &text), NC_OK);
    assert_non_null(strstr(text, "\noptimizer: sgd\n"));
    free(text);
    nc_config_free(config);
    refuse_text("optimizer: adam\n", "optimizer is \"adam\": it must be adamw or rmsprop or sgd");
    refuse_text("momentum: 0.9\n", "momentum is a key of sgd");
    refuse_text("rmsprop_alpha: 1\n", "rmsprop_alpha is 1: it must be at least 0 and below 1");
    refuse_text("rate_decay: 1.1\n", "rate_decay is 1.1: it must be above 0 and at most 1");
    refuse_text("rate_decay: 0\n", "rate_decay is 0: it must be above 0 and at most 1");
}

/* Of 12 steps, three an epoch. */
static void the_rate_falls_from_epoch_to_epoch(void **state)
{
    (void)state;
    struct nc_config *config = load_text("learning_rate: 1\nschedule: constant\nwarmup_steps: 2\n"
                                         "epochs: 4\nrate_decay: 0.5\n");
    static const double expected[12] = {0.5, 1, 1, 0.5, 0.5, 0.5, 0.25, 0.25, 0.25, 0.125, 0.125,
                                        0.125};
    for (uint64_t step = 0; step < 12; step++)
        assert_true(nc_learning_rate(config, step, 12) == expected[step]);
    nc_config_free(config);
}

/* A loss as a list: what is left out, and that it is written so that it reads back. */
static void lists_of_terms_are_read(void **state)
{
    (void)state;
    struct nc_config *config = load_text(
        "loss:\n"
        "  - {term: infonce, texts: [caption, contradiction], pictures: [image, distractor], weight: 0.3}\n"
        "  - term: hinge_text\n"
        "    texts: [absence]\n"
        "    low: -0.25\n"
        "  - {term: infonce, hard: choices, columns: [0.000001]}\n"
        "epochs: 3\n");
    assert_int_equal(config->term_count, 3);
    assert_int_equal(config->epochs, 3);
    const struct nc_loss_term *term = config->terms;
    assert_int_equal(term->kind, NC_TERM_INFONCE);
    assert_true(term->weight == 0.3);
    assert_int_equal(term->texts, 2);
    assert_int_equal(term->text[1], NC_TEXT_CONTRADICTION);
    assert_true(term->row[0] == 1 && term->row[1] == 0);
    assert_int_equal(term->pictures, 2);
    assert_true(term->column[0] == 1 && term->column[1] == 1);
    assert_int_equal(term->hard, NC_NO_ROLE);
    assert_int_equal(term[1].kind, NC_TERM_HINGE_TEXT);
    assert_int_equal(term[1].text[0], NC_TEXT_ABSENCE);
    assert_true(term[1].low == -0.25 && term[1].high == 0.3 && term[1].weight == 1);
    assert_int_equal(term[2].hard, NC_TEXT_CHOICES);

    char *text, *again;
    assert_int_equal(nc_config_text(config, &text), NC_OK);
    assert_non_null(strstr(text, "columns: [1.0e-06]"));
    struct nc_config *read = load_text(text);
    assert_int_equal(read->term_count, 3);
    assert_int_equal(nc_config_text(read, &again), NC_OK);
    assert_string_equal(text, again);
    free(text);
    free(again);
    nc_config_free(read);
    nc_config_free(config);
}

static void sources_are_read(void **state)
{
    (void)state;
    struct nc_config *config = load_text("batch_size: 12\nsources: [4, 8]\nloss:\n"
                                         "  - {term: keep, source: 2}\n  - {term: infonce}\n");
    char *text;
    assert_int_equal(config->source_count, 2);
    assert_true(config->sources[0] == 4 && config->sources[1] == 8);
    assert_int_equal(config->terms[0].source, 2);
    assert_int_equal(config->terms[1].source, 0);
    assert_int_equal(nc_config_text(config, &text), NC_OK);
    assert_non_null(strstr(text, "\nsources: [4, 8]\n"));
    assert_non_null(strstr(text, "{term: keep, weight: 1, source: 2}"));
    free(text);
    nc_config_free(config);
    config = load("default", "sources=[]");
    assert_int_equal(config->source_count, 0);
    assert_int_equal(nc_config_text(config, &text), NC_OK);
    assert_null(strstr(text, "sources"));
    free(text);
    nc_config_free(config);
}

static void a_name_replaces_a_list(void **state)
{
    (void)state;
    struct nc_config *config;
    const char *override = "loss=con_clip";
    assert_int_equal(nc_file_write(path, "loss: [{term: infonce}]\n", 24), NC_OK);
    assert_int_equal(nc_config_load(path, &override, 1, &config), NC_OK);
    assert_int_equal(config->term_count, 0);
    assert_int_equal(config->loss, NC_LOSS_CON_CLIP);
    nc_config_free(config);
}

static void wrong_lists_are_named(void **state)
{
    (void)state;
    refuse_text("epochs: 1\nloss:\n  - {term: infonce, text: [caption]}\n",
                "run.yaml line 3: loss|\"text\"|did you mean texts?|pictures");
    refuse_text("loss: [{term: infonze}]\n", "term 1|\"infonze\"|did you mean infonce?|choice");
    refuse_text("loss: [{term: infonce}, {texts: [caption]}]\n", "term 2|which term");
    refuse_text("loss: [{term: infonce, texts: [captoin]}]\n", "\"captoin\"|did you mean caption?");
    refuse_text("loss: [{term: infonce, texts: [caption, caption]}]\n", "caption twice");
    refuse_text("loss: [{term: infonce, pictures: [picture]}]\n", "\"picture\"|image, distractor");
    refuse_text("loss: [{term: infonce, weight: x}]\n", "weight holds \"x\"|number");
    refuse_text("loss: [{term: infonce, weight: -1}]\n", "weight holds -1|at least 0");
    refuse_text("loss: [{term: infonce, rows: [1, 1]}]\n", "rows has 2 numbers: it must have 1");
    refuse_text("loss: [{term: infonce, rows: [0], columns: [0]}]\n", "rows and columns|all 0");
    refuse_text("loss: [{term: infonce, low: 1}]\n", "infonce has no low");
    refuse_text("loss: [{term: keep, texts: [absence]}]\n", "keep has no texts");
    refuse_text("loss: [{term: choice, texts: [caption]}]\n", "choice|other role");
    refuse_text("loss: [{term: hinge_text, low: 0.5, high: 0.1}]\n", "hinge_text|at most");
    refuse_text("loss: [{term: infonce, texts: [caption, choices]}]\n", "choices are several");
    refuse_text("loss: [{term: infonce, texts: [contradiction]}]\n", "rows|contradiction");
    refuse_text("loss: [{term: infonce, pictures: [distractor]}]\n", "caption|pictures");
    refuse_text("loss: [{term: infonce, pictures: [image, distractor]}]\n", "columns|picture 2");
    refuse_text("loss: [{term: infonce, hard: caption}]\n", "hard|caption");
    refuse_text("loss: [{term: infonce, hard: contradiction}]\ncontradictions: false\n",
                "contradictions to true");
    refuse_text("loss: [{term: infonce, weight: 0}]\n", "no term");
    refuse_text("loss: [{term: infonce}]\ninfonce: 2\n", "infonce is the weight|weight in its terms");
    refuse_text("loss: []\n", "line 1: loss|a list of up to");
    refuse_text("loss: {term: infonce}\n", "loss|a list");
    refuse_text("loss: [infonce]\n", "loss|a list");
    refuse_text("loss: [{term: infonce, term: choice}]\n", "term twice");
    refuse_text("loss: [{term: infonce}]\nloss: clip\n", "loss stands there twice");
    refuse_text("loss: [{term: infonce, texts: [[caption]]}]\n", "loss|a list");
    refuse_text("loss: [{term: infonce, rows: 1}]\n", "loss|a list");
    refuse_text("loss: [{term: infonce, source: 1}]\n", "source 1, and sources draws from 0");
    refuse_text("loss: [{term: infonce, source: 1.5}]\n", "source holds 1.5|whole number");
    refuse_text("loss: [{term: infonce, source: 0}]\n", "source holds 0|at least 1");
    refuse_text("batch_size: 8\nsources: [4, 5]\n", "sources draws 9 examples|batch_size is 8|their sum");
    refuse_text("sources: [0]\n", "sources is 0|at least 1");
    refuse_text("sources: 4\n", "sources must be a list of whole numbers");
    refuse_text("sources: [1, 1, 1, 1, 1, 1, 1, 1, 1]\n", "9 numbers|8 are the most");
    refuse_text("batch_size: 8\nsources: [4, 4]\nloss: [{term: infonce, source: 2, hard: choices}]\n",
                "hard goes with examples of all sources");
    refuse_text("loss: [{term: &x infonce}, {term: *x}]\n", "aliases");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(new_keys_are_silent_as_before),
        cmocka_unit_test(optimizers_are_read),
        cmocka_unit_test(the_rate_falls_from_epoch_to_epoch),
        cmocka_unit_test(terms_that_cannot_be_are_named),
        cmocka_unit_test(lists_of_terms_are_read),
        cmocka_unit_test(sources_are_read),
        cmocka_unit_test(a_name_replaces_a_list),
        cmocka_unit_test(wrong_lists_are_named),
        cmocka_unit_test(negationclip_is_the_paper),
        cmocka_unit_test(default_is_corrected),
        cmocka_unit_test(presets_set_every_key),
        cmocka_unit_test(left_out_keys_are_default),
        cmocka_unit_test(overrides_win),
        cmocka_unit_test(written_config_reads_back),
        cmocka_unit_test(bad_values_are_named),
        cmocka_unit_test(unknown_keys_are_refused),
        cmocka_unit_test(not_a_config),
        cmocka_unit_test(bad_overrides_are_usage),
        cmocka_unit_test(missing_sources_are_named),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
