/* The training examples: captions as tokens, each with its picture's embedding. */
#ifndef NCLIP_HOST_TRAIN_EXAMPLES_EXAMPLES_H
#define NCLIP_HOST_TRAIN_EXAMPLES_EXAMPLES_H

#include "nclip/captions/packing.h"
#include "nclip/checkpoints/folder.h"
#include "nclip/store/store.h"
#include "nclip/train/train.h"

enum { NC_NO_CONTRADICTION = UINT32_MAX };

struct nc_examples {
    /* texts: captions and contradictions, cut behind their end-of-text token */
    int32_t *tokens;
    size_t *token_start; /* [texts + 1] */
    size_t texts;
    /* examples: caption i is text caption[i] */
    size_t count;
    uint32_t *caption;       /* [count] */
    uint32_t *contradiction; /* [count] text, or NC_NO_CONTRADICTION */
    size_t *embedding;       /* [count] row of the store */
    int32_t *image;          /* [count] the picture's number: same picture, same number */
    size_t *distractor_embedding; /* [count] row of the store; only with a loss that wants them, */
    int32_t *distractor_image;    /* else NULL: [count] its number */
    struct nc_embedding_store *store;
    /* of a stream (feed.h): */
    const char *pool; /* rows in memory, in the store's type: embedding[] and
                         distractor_embedding[] are offsets in it. NULL: they are in the store */
    uint16_t *owner;  /* [count] the rank that has an example's texts and rows; NULL: all have */
    /* held out */
    uint32_t *training, *validation; /* indices of examples */
    size_t training_count, validation_count;
    /* for people */
    size_t without_distractor; /* left out: no contradiction, or no picture for it */
    size_t captions_in_file, without_embedding, skipped_too_long, malformed, truncated, negation_lost;
    uint64_t fingerprint; /* of all of the above that training depends on */
};

/* Loads captions, tokenizes them in parallel, finds their embeddings, holds out the
 * validation part. Captions whose picture the store lacks are counted and left out;
 * none at all is NC_BAD_INPUT. The store must have been made by `model`. */
int nc_examples_load(const struct nc_model *model, const struct nc_config *config,
                     const char *captions_path, const char *store_path,
                     struct nc_examples *examples);

/* What loading ends with, once the examples are there: holds out the validation part, of
 * `image_count` pictures, and takes the fingerprint. */
int nc_examples_complete(const struct nc_config *config, size_t image_count,
                         struct nc_examples *examples);
void nc_examples_free(struct nc_examples *examples);

/* The order of an epoch (from 0): a permutation of `training` that depends on the seed alone. */
void nc_examples_order(const struct nc_examples *examples, uint64_t seed, uint64_t epoch,
                       uint32_t *order);

/* out[count, dimension] = the embeddings rows[0 .. count), which are taken from `embedding` or
 * `distractor_embedding`. */
int nc_examples_gather(const struct nc_examples *examples, const size_t *rows, size_t count,
                       float *out);

/* Packs examples[first .. first + count) of a list, their captions first and then the
 * contradictions that stand behind them. *extras is the number of those. */
int nc_examples_pack(const struct nc_examples *examples, const struct nc_model_shape *shape,
                     const struct nc_config *config,
                     const uint32_t *list, size_t count, struct nc_packing *packing,
                     size_t *extras);

#endif
