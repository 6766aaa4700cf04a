/* Makes what a stream is read from (stream_inputs.h). */
#include "stream_inputs.h"

#include "nclip/checkpoints/folder.h"
#include "nclip/store/store.h"
#include "nclip/support/error.h"
#include "nclip/support/files.h"
#include "nclip/train/prepare.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
/* after the headers it needs */
#include <cmocka.h>

static void check(int status)
{
    if (status != NC_OK)
        fail_msg("%s", nc_error_message());
}

static void make_store(const struct stream_inputs *in, const char *path, const char *hash,
                       size_t dimension)
{
    const struct nc_embedding_info info = {hash, "none", dimension, NC_BFLOAT16, false};
    struct nc_embedding_writer *writer;
    float *row = malloc(dimension * sizeof *row);
    char key[32];
    assert_non_null(row);
    check(nc_embedding_writer_open(path, &info, in->shard_rows, &writer));
    for (size_t i = 0; i < in->shards * in->shard_rows; i++) {
        snprintf(key, sizeof key, "%06zu.png", i);
        for (size_t k = 0; k < dimension; k++)
            row[k] = (float)((i * 7919 + k * 31) % 257) - 128;
        check(nc_embedding_writer_append(writer, key, row));
    }
    check(nc_embedding_writer_close(writer));
    free(row);
}

static void write_captions(const struct stream_inputs *in, const char *path)
{
    static const char *const words[] = {"red", "no blue", "a green", "not one yellow and teal"};
    static const char *const shapes[] = {"circle", "shape in this picture", "triangle"};
    size_t pictures = in->shards * in->shard_rows, number = 0;
    struct nc_writer *writer;
    check(nc_writer_create(path, &writer));
    for (size_t round = 0; round < in->captions; round++) /* not in the order of the rows */
        for (size_t i = 0; i < pictures; i++) {
            size_t p = (i * 1009 + round) % pictures;
            if (p % in->captions < round)
                continue;
            nc_writer_printf(writer, "{\"image\": \"%06zu.png\", \"caption\": \"%s %s\"", p,
                             words[number % 4], shapes[number / 4 % 3]);
            if (in->distractors || number % 3 == 0)
                nc_writer_printf(writer, ", \"contradiction\": \"%s black\"", words[number % 4]);
            if (in->distractors)
                nc_writer_printf(writer, ", \"distractor\": \"%06zu.png\"", (p * 31 + 5) % pictures);
            nc_writer_printf(writer, "}\n");
            number++;
        }
    check(nc_writer_commit(writer));
}

void stream_inputs_make(const struct stream_inputs *in)
{
    struct nc_model *model;
    char hash[17];
    char *store = nc_path_join(in->folder, "store"), *set = nc_path_join(in->folder, "set");
    char *captions = nc_path_join(in->folder, "captions.jsonl");
    const char *const sources[] = {captions};
    assert_true(store && set && captions);
    check(nc_model_open(in->model, &model));
    check(nc_model_vision_hash(model, hash));
    make_store(in, store, hash, nc_model_shape(model)->embedding);
    nc_model_close(model);
    write_captions(in, captions);
    const struct nc_prepare_options options = {.captions = sources, .caption_count = 1,
                                               .embeddings = store, .model_folder = in->model,
                                               .out = set, .too_long = NC_TRUNCATE, .quiet = true};
    struct nc_prepare_result result;
    check(nc_prepare(&options, &result));
    free(store);
    free(set);
    free(captions);
}
