/* Training: CLIP's text tower on captions and cached image embeddings.
 *
 * A step takes a batch of captions, runs the text tower over them packed, computes
 * the symmetric InfoNCE against their pictures' embeddings and updates the trained
 * parameters by AdamW, RMSprop or SGD. With micro batches the features of the whole batch are made
 * first, then the loss, then each micro batch is run once more for its gradients
 * (Gao et al. 2021, "Scaling deep contrastive learning batch size under memory
 * limited setup"): the same gradients as one large batch with all its negatives.
 *
 * The run folder: config.yaml (resolved), metrics.jsonl, TensorBoard events, best/
 * and last/ (each a complete model folder with training.json and, where the optimizer has
 * moments, optimizer.safetensors). Everything appears by rename.
 */
#ifndef NCLIP_TRAIN_TRAIN_H
#define NCLIP_TRAIN_TRAIN_H

#include "nclip/checkpoints/folder.h"
#include "nclip/ranks/communicator.h"
#include "nclip/train/config.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* Which rows of the parameter table train. Names: all, token_embedding, position_embedding,
 * blocks, blocks.N, blocks.N-M (both ends included), final_layer_norm, projection,
 * logit_scale; and logit_bias, which `all` leaves out. An unknown name, or a block that the model
 * does not have, is NC_BAD_INPUT.
 * *trainable has table->count flags; the caller frees it. */
int nc_trainable_parse(const char *const *names, size_t count,
                       const struct nc_parameter_table *table, const struct nc_model_shape *shape,
                       bool **trainable);
/* Prints a table of which parameters train, for people. */
void nc_trainable_print(const struct nc_parameter_table *table, const bool *trainable, FILE *out);

/* The learning rate of step `step` (from 0) of `total`: linear warm-up, then constant or half a
 * cosine down to 0, as open_clip's scheduler; times rate_decay for each epoch that is over. */
double nc_learning_rate(const struct nc_config *config, uint64_t step, uint64_t total);

struct nc_train_options {
    const struct nc_config *config;
    const char *model_folder, *run_folder;
    const char *const *captions; /* files, with `embeddings`; config->sources says how they mix */
    size_t caption_count;
    const char *examples; /* or a set that nclip prepare made; `embeddings` may be NULL: the set
                             knows its store */
    const char *embeddings;
    const char *device; /* "cpu", ... */
    int device_number;
    bool resume;        /* continue from run_folder/last, bit for bit as if never stopped */
    bool quiet;         /* no progress, no tables */
    struct nc_communicator *ranks; /* of this run, for host memory; NULL: alone */
};

struct nc_train_result {
    uint64_t steps, epochs, best_epoch; /* epochs count from 1; best_epoch 0: no validation */
    double last_loss, best_validation_loss;
    double seconds, captions_per_second; /* of this call */
    size_t planned_bytes, peak_bytes;    /* memory: as printed before the first step; as the
                                            system counted it (0: not known) */
    bool stopped;                        /* by a signal, on all ranks alike */
    bool streamed;                       /* a set larger than the pool; then: */
    double waited_seconds;               /* for data, in this call, the mean of the ranks */
    uint64_t read_bytes;                 /* by all ranks together */
};

/* SIGINT, SIGTERM and SIGUSR1 during the call, of any rank, write a checkpoint at the next step
 * and end it with NC_FAILED, saying how to go on. On several ranks every rank makes this call;
 * rank 0 alone writes the run folder and speaks. A rank whose call fails without `stopped`
 * has to end the others (nc_communicator_abort). */
int nc_train(const struct nc_train_options *options, struct nc_train_result *result);

#endif
