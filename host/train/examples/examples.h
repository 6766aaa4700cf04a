/* The training examples: captions as tokens, each with its picture's embedding. */
#ifndef NCLIP_HOST_TRAIN_EXAMPLES_EXAMPLES_H
#define NCLIP_HOST_TRAIN_EXAMPLES_EXAMPLES_H

#include "../losses/losses.h"
#include "nclip/captions/packing.h"
#include "nclip/captions/set.h"
#include "nclip/checkpoints/folder.h"
#include "nclip/store/store.h"
#include "nclip/train/train.h"

enum {
    NC_NO_TEXT = UINT32_MAX,
    NC_MOST_CHOICES = 15, /* of an example that is streamed: memory is planned for them */
};

struct nc_examples {
    /* texts of all roles, cut behind their end-of-text token */
    int32_t *tokens;
    size_t *token_start; /* [texts + 1] */
    size_t texts;
    /* examples: text[role][i] is the text that example i has in a role, or the first of its choices;
     * NC_NO_TEXT: it has none. NULL: none has one */
    size_t count;
    uint32_t *text[NC_TEXT_ROLES]; /* [count] each */
    uint8_t *choices;              /* [count] how many; NULL: none has one */
    size_t *embedding;       /* [count] row of the store */
    int32_t *image;          /* [count] the picture's number: same picture, same number */
    size_t *distractor_embedding; /* [count] row of the store; only with a loss that wants them, */
    int32_t *distractor_image;    /* else NULL: [count] its number */
    struct nc_embedding_store *store;
    /* of a stream (feed.h): */
    const char *pool; /* rows in memory, in the store's type: embedding[] and
                         distractor_embedding[] are offsets in it. NULL: they are in the store */
    uint16_t *owner;  /* [count] the rank that has an example's texts and rows; NULL: all have */
    /* of several sources that batches are drawn from (sources.h): which one, from 0; else NULL */
    uint8_t *source;
    struct nc_example_sources *sources;
    /* held out; with sources: as they come, some of them several times */
    uint32_t *training, *validation; /* indices of examples */
    size_t training_count, validation_count;
    /* for people */
    size_t without_roles; /* left out: they lack a text or a picture that the loss needs */
    size_t captions_in_file, without_embedding, skipped_too_long, malformed, truncated, negation_lost;
    uint64_t fingerprint; /* of all of the above that training depends on */
};

/* The first text that an example has in a role, and how many there are. */
static inline uint32_t nc_examples_text(const struct nc_examples *e, int role, uint32_t example,
                                        size_t *count)
{
    uint32_t text = e->text[role] ? e->text[role][example] : NC_NO_TEXT;
    *count = text == NC_NO_TEXT ? 0 : role == NC_TEXT_CHOICES ? e->choices[example] : 1;
    return text;
}

/* counts[role] = the texts of examples list[0 .. count). Returns those beside the captions. */
size_t nc_examples_count_texts(const struct nc_examples *examples, const uint32_t *list,
                               size_t count, size_t counts[NC_TEXT_ROLES]);

/* Loads captions of files, which are config->sources where that names any, tokenizes them in
 * parallel, finds their embeddings, holds out the validation part. Captions whose picture the store
 * lacks are counted and left out; none at all is NC_BAD_INPUT. The store must have been made by
 * `model`. */
int nc_examples_load(const struct nc_model *model, const struct nc_config *config,
                     const char *const *paths, size_t path_count, const char *store_path,
                     struct nc_examples *examples);

/* The arrays of `count` examples, of the roles that a loss takes. */
int nc_examples_allocate(const struct nc_losses *losses, size_t count,
                         struct nc_examples *examples);

/* Whether example i lacks a text that the loss needs of its source, or a `distractor`. */
bool nc_examples_lack(const struct nc_losses *losses, const struct nc_examples *examples, size_t i,
                      bool distractor);

/* What loading ends with, once the examples are there: holds out the validation part, of
 * `image_count` pictures, and takes the fingerprint. */
int nc_examples_complete(const struct nc_config *config, size_t image_count,
                         struct nc_examples *examples);
void nc_examples_free(struct nc_examples *examples);

/* The order of an epoch (from 0): a permutation of `training` that depends on the seed alone. */
void nc_examples_order(const struct nc_examples *examples, uint64_t seed, uint64_t epoch,
                       uint32_t *order);

/* Lists that have each example once: number `list` of them, or NULL where there is none. */
const uint32_t *nc_examples_once(const struct nc_examples *examples, size_t list, size_t *count);

/* out[count, dimension] = the embeddings rows[0 .. count), which are taken from `embedding` or
 * `distractor_embedding`. */
int nc_examples_gather(const struct nc_examples *examples, const size_t *rows, size_t count,
                       float *out);

/* Packs examples list[0 .. count): their captions, then their texts of one role after the other. */
int nc_examples_pack(const struct nc_examples *examples, const struct nc_model_shape *shape,
                     const struct nc_config *config,
                     const uint32_t *list, size_t count, struct nc_packing *packing);

#endif
