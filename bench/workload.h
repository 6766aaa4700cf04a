/* The data of a training benchmark: a CLIP shape with random parameters, captions as tokens, and a
 * store of random picture embeddings on disk. Speed does not depend on the numbers, so no
 * checkpoint is needed. */
#ifndef NCLIP_BENCH_WORKLOAD_H
#define NCLIP_BENCH_WORKLOAD_H

#include "../host/train/examples/examples.h"
#include "nclip/checkpoints/folder.h"

struct workload {
    struct nc_model_shape shape;
    struct nc_parameter_table table;
    struct nc_examples examples; /* all in training, in order; nothing held out */
    char folder[64];             /* a temporary one, holds the store */
    double mean_tokens;          /* of a caption, start and end included */
};

/* Names of CLIP's text towers, ending with NULL. */
extern const char *const workload_shapes[];

/* `captions`: a caption file (COCO JSON or JSONL), tokenized with `tokenizer` (folder or
 * file); NULL: lengths drawn as `lengths` says (lengths.h; NULL: plain), tokens by Zipf's law,
 * nothing shared but the start token. `count` examples; a file with fewer is repeated. */
int workload_create(const char *shape, size_t count, const char *captions, const char *tokenizer,
                    const char *lengths, struct workload *workload);
void workload_destroy(struct workload *workload);

/* Holds out the last examples for validation. */
int workload_hold_out(struct workload *workload, double fraction);

/* Random parameters of the text tower, malloc'd. */
int workload_parameters(const struct workload *workload, float **master);

/* One JSON array of token ids a line: what the peers read. Appears by rename. */
int workload_write_tokens(const struct workload *workload, const char *path);

/* A plain caption's length, start and end included (lengths.h); a token by Zipf's law. `state` as
 * in host/train/examples/random.h. */
enum { WORKLOAD_START = 49406 };
size_t workload_draw_length(uint64_t *state);
int32_t workload_draw_token(uint64_t *state);

#endif
