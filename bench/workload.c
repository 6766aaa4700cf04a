/* Makes shapes, parameters, captions and stores to train on. */
#include "workload.h"

#include "../host/train/examples/random.h"
#include "lengths.h"
#include "nclip/captions/captions.h"
#include "nclip/support/error.h"
#include "nclip/support/files.h"
#include "nclip/tokenizer/tokenizer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { START = WORKLOAD_START, END = 49407, SEED = 7 };

const char *const workload_shapes[] = {
#ifdef NCLIP_REHEARSAL /* what a processor that plays the GPU can do, to rehearse */
    "tiny", "deep", /* one block; as many as ViT-L/14's tower has */
#endif
    "ViT-B/32", "ViT-B/16", "ViT-L/14", "ViT-L/14@336", NULL};

static struct nc_model_shape shape_of(const char *name)
{
    bool deep = strcmp(name, "deep") == 0, tiny = deep || strcmp(name, "tiny") == 0;
    size_t width = deep ? 128 : tiny ? 64 : strncmp(name, "ViT-L", 5) == 0 ? 768 : 512;
    return (struct nc_model_shape){
        .text = {.width = width, .layers = tiny && !deep ? 1 : 12, .heads = width / 64, .mlp = 4 * width,
                 .activation = NC_QUICK_GELU, .epsilon = 1e-5f},
        .vision = {.width = 64, .layers = 1, .heads = 1, .mlp = 64, .epsilon = 1e-5f}, /* unused */
        .embedding = width, .vocabulary = END + 1, .context = NC_CLIP_CONTEXT,
        .end_rule = NC_END_ARGMAX, .end_token = END, .image_size = 32, .patch_size = 32,
        .channels = 3, .logit_scale_initial = 2.6592f};
}

/* Rank r with probability about 1 / (r log(vocabulary)). */
int32_t workload_draw_token(uint64_t *state)
{
    enum { WORDS = START - 512 };
    unsigned octave = (unsigned)nc_random_below(state, 16);
    uint64_t rank = (1u << octave) + nc_random_below(state, 1u << octave);
    return (int32_t)(512 + rank % WORDS);
}

size_t workload_draw_length(uint64_t *state)
{
    static struct lengths plain;
    if (!plain.all)
        (void)lengths_named(NULL, NULL, &plain); /* no file: it cannot fail */
    return lengths_draw(&plain, state);
}

static int generate_tokens(struct nc_examples *e, size_t count, const struct lengths *lengths)
{
    uint64_t state = nc_random_stream(SEED, 1, 0);
    e->tokens = malloc(count * NC_CLIP_CONTEXT * sizeof *e->tokens);
    if (!e->tokens)
        return nc_error(NC_FAILED, "bench: no memory");
    size_t at = 0;
    for (size_t i = 0; i < count; i++) {
        size_t length = lengths_draw(lengths, &state);
        e->token_start[i] = at;
        e->tokens[at++] = START;
        for (size_t k = 2; k < length; k++)
            e->tokens[at++] = workload_draw_token(&state);
        e->tokens[at++] = END;
    }
    e->token_start[count] = at;
    return NC_OK;
}

static int read_tokens(struct nc_examples *e, size_t count, const struct nc_captions *captions,
                       const struct nc_tokenizer *tokenizer)
{
    struct nc_tokens tokens = {0};
    int status = NC_OK;
    size_t at = 0;
    e->tokens = malloc(count * NC_CLIP_CONTEXT * sizeof *e->tokens);
    if (!e->tokens)
        status = nc_error(NC_FAILED, "bench: no memory");
    for (size_t i = 0; i < count && status == NC_OK; i++) {
        const char *text = captions->items[i % captions->count].text;
        status = nc_tokenizer_encode(tokenizer, text, strlen(text), NC_CLIP_CONTEXT, NC_TRUNCATE, &tokens);
        if (status != NC_OK)
            break;
        e->token_start[i] = at;
        for (size_t k = 0; k < tokens.count; k++) {
            if (tokens.ids[k] > END)
                status = nc_error(NC_BAD_INPUT, "--tokenizer: id %d is none of CLIP's vocabulary",
                                  (int)tokens.ids[k]);
            e->tokens[at++] = tokens.ids[k];
        }
    }
    e->token_start[count] = at;
    nc_tokens_free(&tokens);
    return status;
}

static int load_tokens(struct nc_examples *e, size_t count, const char *path, const char *tokenizer_path)
{
    struct nc_captions captions = {0};
    struct nc_tokenizer *tokenizer = NULL;
    if (!tokenizer_path)
        return nc_error(NC_USAGE, "--captions needs --tokenizer, a CLIP folder or tokenizer file");
    int status = nc_captions_load(path, &captions);
    if (status == NC_OK)
        status = nc_tokenizer_load(tokenizer_path, NC_TOKENIZER_TRANSFORMERS, &tokenizer);
    if (status == NC_OK)
        status = read_tokens(e, count, &captions, tokenizer);
    nc_tokenizer_destroy(tokenizer);
    nc_captions_free(&captions);
    return status;
}

static void random_row(uint64_t *state, float *row, size_t width)
{
    for (size_t i = 0; i < width; i++)
        row[i] = (float)(nc_random_next(state) >> 40) * 0x1p-23f - 1;
}

/* A store as nclip embed writes one, in a temporary folder. */
static int make_store(struct workload *w, size_t count)
{
    const char *parent = getenv("TMPDIR");
    int length = snprintf(w->folder, sizeof w->folder, "%s/nclip-bench-XXXXXX", parent ? parent : "/tmp");
    if (length < 0 || (size_t)length >= sizeof w->folder || !mkdtemp(w->folder)) {
        int cause = errno;
        w->folder[0] = 0;
        return nc_error(NC_FAILED, "bench: cannot make a temporary folder: %s", strerror(cause));
    }
    struct nc_embedding_info info = {.model_hash = "bench", .preprocessing = "none",
                                     .dimension = w->shape.embedding, .type = NC_BFLOAT16};
    struct nc_embedding_writer *writer;
    float *row = malloc(w->shape.embedding * sizeof *row);
    int status = row ? nc_embedding_writer_open(w->folder, &info, 0, &writer)
                     : nc_error(NC_FAILED, "bench: no memory");
    if (status != NC_OK) {
        free(row);
        return status;
    }
    uint64_t state = nc_random_stream(SEED, 2, 0);
    for (size_t i = 0; i < count && status == NC_OK; i++) {
        char key[32];
        snprintf(key, sizeof key, "%zu", i);
        random_row(&state, row, w->shape.embedding);
        status = nc_embedding_writer_append(writer, key, row);
    }
    free(row);
    if (status != NC_OK) {
        nc_embedding_writer_abandon(writer);
        return status;
    }
    status = nc_embedding_writer_close(writer);
    return status == NC_OK ? nc_embedding_store_open(w->folder, &w->examples.store) : status;
}

static int make_examples(struct nc_examples *e, size_t count)
{
    e->token_start = calloc(count + 1, sizeof *e->token_start);
    e->text[NC_TEXT_CAPTION] = calloc(count, sizeof *e->text[NC_TEXT_CAPTION]);
    e->embedding = calloc(count, sizeof *e->embedding);
    e->image = calloc(count, sizeof *e->image);
    e->training = calloc(count, sizeof *e->training);
    if (!e->token_start || !e->text[NC_TEXT_CAPTION] || !e->embedding || !e->image || !e->training)
        return nc_error(NC_FAILED, "bench: no memory");
    e->texts = e->count = e->training_count = e->captions_in_file = count;
    for (size_t i = 0; i < count; i++) {
        e->text[NC_TEXT_CAPTION][i] = e->training[i] = (uint32_t)i;
        e->embedding[i] = i;
        e->image[i] = (int32_t)i;
    }
    return NC_OK;
}

int workload_create(const char *shape, size_t count, const char *captions, const char *tokenizer,
                    const char *length_names, struct workload *w)
{
    struct lengths lengths;
    *w = (struct workload){.shape = shape_of(shape)};
    if (!count || count > UINT32_MAX / 2)
        return nc_error(NC_USAGE, "bench: %zu captions cannot be trained on", count);
    int status = nc_parameter_table_create(&w->shape, &w->table);
    if (status == NC_OK)
        status = lengths_named(length_names, tokenizer, &lengths);
    if (status == NC_OK)
        status = make_examples(&w->examples, count);
    if (status == NC_OK)
        status = captions ? load_tokens(&w->examples, count, captions, tokenizer)
                          : generate_tokens(&w->examples, count, &lengths);
    if (status == NC_OK)
        status = make_store(w, count);
    if (status != NC_OK) {
        workload_destroy(w);
        return status;
    }
    w->mean_tokens = (double)w->examples.token_start[count] / (double)count;
    return NC_OK;
}

int workload_hold_out(struct workload *w, double fraction)
{
    struct nc_examples *e = &w->examples;
    e->validation_count = (size_t)(fraction * (double)e->count);
    e->training_count = e->count - e->validation_count;
    e->validation = malloc((e->validation_count + 1) * sizeof *e->validation);
    if (!e->validation)
        return nc_error(NC_FAILED, "bench: no memory");
    for (size_t i = 0; i < e->validation_count; i++)
        e->validation[i] = (uint32_t)(e->training_count + i);
    return NC_OK;
}

void workload_destroy(struct workload *w)
{
    nc_examples_free(&w->examples);
    nc_parameter_table_destroy(&w->table);
    if (w->folder[0])
        nc_folder_remove(w->folder);
    *w = (struct workload){0};
}

int workload_parameters(const struct workload *w, float **master)
{
    size_t count = w->table.tower_elements[NC_TOWER_TEXT];
    float *values = calloc(count, sizeof *values);
    *master = values;
    if (!values)
        return nc_error(NC_FAILED, "bench: no memory");
    uint64_t state = nc_random_stream(SEED, 3, 0);
    for (size_t i = 0; i < w->table.count; i++) {
        const struct nc_parameter *row = &w->table.rows[i];
        if (row->tower != NC_TOWER_TEXT)
            continue;
        bool gain = row->role == NC_LN1_WEIGHT || row->role == NC_LN2_WEIGHT ||
                    row->role == NC_FINAL_LN_WEIGHT;
        random_row(&state, values + row->offset, row->count);
        for (size_t k = 0; k < row->count; k++)
            values[row->offset + k] = gain ? 1 : 0.035f * values[row->offset + k]; /* 0.02 rms */
        if (row->role == NC_LOGIT_SCALE)
            values[row->offset] = w->shape.logit_scale_initial;
    }
    return NC_OK;
}

int workload_write_tokens(const struct workload *w, const char *path)
{
    const struct nc_examples *e = &w->examples;
    struct nc_writer *writer;
    int status = nc_writer_create(path, &writer);
    if (status != NC_OK)
        return status;
    for (size_t i = 0; i < e->count; i++) {
        for (size_t k = e->token_start[i]; k < e->token_start[i + 1]; k++)
            nc_writer_printf(writer, "%s%d", k == e->token_start[i] ? "[" : ", ", (int)e->tokens[k]);
        nc_writer_printf(writer, "]\n");
    }
    return nc_writer_commit(writer);
}
