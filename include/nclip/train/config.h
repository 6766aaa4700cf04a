/* The settings of a training run, read from YAML.
 *
 * A preset is a file in configs/ named without its ending (`negationclip`,
 * `default`) and is compiled into the program, so that it works from anywhere.
 * Keys that a file leaves out have the `default` preset's values. Unknown keys
 * are refused by name. `--set key=value` overrides.
 */
#ifndef NCLIP_TRAIN_CONFIG_H
#define NCLIP_TRAIN_CONFIG_H

#include "nclip/support/types.h"
#include "nclip/train/terms.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Names of lists of terms (terms.h). NC_LOSS_CLIP: symmetric InfoNCE, contradictions as negatives of their
 * own picture. NC_LOSS_CON_CLIP: CoN-CLIP's (Singh et al. 2025) mean of three cross-entropies, over the
 * captions, their contradictions, the pictures and the contradictions' own pictures
 * ("distractors"): pictures among all captions, true captions among all pictures, distractors
 * among all captions, where the contradiction is the right one. */
enum nc_loss { NC_LOSS_CLIP, NC_LOSS_CON_CLIP };

/* "adamw", "rmsprop", "sgd", as ops.h computes them */
enum nc_optimizer { NC_OPTIMIZER_ADAMW, NC_OPTIMIZER_RMSPROP, NC_OPTIMIZER_SGD };
enum nc_schedule { NC_SCHEDULE_CONSTANT, NC_SCHEDULE_COSINE };   /* "constant", "cosine" */
enum nc_split { NC_SPLIT_CAPTION, NC_SPLIT_IMAGE };              /* "caption", "image" */
enum nc_too_long { NC_TOO_LONG_TRUNCATE, NC_TOO_LONG_ERROR, NC_TOO_LONG_SKIP };

struct nc_config {
    /* optimisation */
    uint64_t batch_size;       /* captions in one optimizer step */
    uint64_t micro_batch_size; /* captions computed at once; 0, or batch_size and above: the whole
                                  batch. Smaller needs less memory and gives the same gradients
                                  (cached-gradient recompute) */
    enum nc_optimizer optimizer;
    double learning_rate;
    double logit_scale_learning_rate; /* of logit_scale and logit_bias; 0: learning_rate */
    enum nc_schedule schedule;
    uint64_t warmup_steps;
    uint64_t epochs;
    double rate_decay;         /* the rate is multiplied by it after each epoch; 1: it is not */
    double beta1, beta2, epsilon; /* AdamW's; epsilon also RMSprop's */
    double rmsprop_alpha;      /* of the mean of squares */
    double momentum;           /* SGD's; 0: without */
    double weight_decay;
    bool decay_norms_and_biases; /* false: weight_decay is for what has two axes alone */
    double gradient_clip;      /* largest global norm; 0: none */
    double logit_scale_max;    /* clamp of the logarithm; 0: none */
    enum nc_type precision;    /* fp32, bf16 */
    enum nc_loss loss;
    struct nc_loss_term *terms; /* in place of `loss`, where term_count is not 0 */
    unsigned term_count;
    enum nc_type loss_precision; /* of the loss's products: fp32, bf16 */
    /* weights of the loss's terms, and their margins (ops.h: nc_own_terms); 0: without the term. All but
       the first come behind those that `loss` lists */
    double infonce;              /* of the loss that is named */
    double choice;               /* between a caption and its contradiction */
    double hinge_picture, hinge_picture_low, hinge_picture_high; /* at the picture */
    double hinge_text, hinge_text_low, hinge_text_high;          /* against the two texts */
    double hinge_apart, hinge_apart_margin;                      /* the two texts alone */
    double preserve;             /* distance to the features that captions had before training */
    char **trainable;          /* names and block ranges, see train.h */
    unsigned trainable_count;
    /* data */
    double validation_fraction;
    enum nc_split split;       /* what is held out together: one caption, or all of an image */
    bool drop_last;            /* leave a partial last batch out */
    bool mask_same_image;      /* captions of the same picture are no negatives of each other */
    bool contradictions;       /* each caption's own contradiction, where the file has one, is a
                                  hard negative for its picture */
    bool hard_negatives;       /* that is: in `loss`; else contradictions are for the other terms */
    uint64_t sources[NC_MOST_SOURCES]; /* with several captions files: examples of each in a batch,
                                          batch_size together; none: all are one */
    unsigned source_count;
    bool share_prefixes;       /* compute equal beginnings of captions once per batch */
    enum nc_too_long too_long;
    uint64_t seed;
    uint64_t pool_bytes; /* memory through which a set is streamed that does not fit in it, of all
                            ranks together; 0: a quarter of what is free. May differ when a run is
                            continued only where the set fits */
    /* many ranks; these may differ when a run is continued */
    bool shard_optimizer;  /* each rank keeps the moments of its slice and updates it */
    bool deterministic;    /* sums over ranks in a fixed order: the same bits in each run */
    uint64_t bucket_bytes; /* of gradients that are summed over the ranks at once */
    double rank_timeout;   /* seconds without a sign of life after which a rank ends the run */
};

/* `source` is a preset's name (before a file of the same name) or a YAML file. `overrides` are
 * "key=value" strings (trainable takes a comma-separated list). Every value is checked against
 * its range; NC_BAD_INPUT names file, line, key and what is allowed, NC_USAGE the override. */
int nc_config_load(const char *source, const char *const *overrides, size_t override_count,
                   struct nc_config **config);
void nc_config_free(struct nc_config *config);

/* The resolved config as YAML (reading it back gives the same config). */
int nc_config_write(const struct nc_config *config, const char *path);
/* Same YAML in memory, without the keys that may differ when a run is continued: *text is malloc'd,
 * zero-terminated. For hashes and comparisons on resume. */
int nc_config_text(const struct nc_config *config, char **text);

/* Names of the presets that are compiled in, ending with NULL. */
const char *const *nc_config_presets(void);

#endif
