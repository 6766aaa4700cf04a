/* The two towers, driven through the operation table.
 *
 * Text: token and position embedding, pre-norm blocks with causal or full attention over a
 * packed batch, final norm and projection of each caption's end-of-text row,
 * L2-normalised. Forward and backward. In the last block nothing but the
 * end-of-text rows can matter, so only they go through its second half.
 *
 * Vision: patches, class token, pre-norm blocks with full attention, norm and
 * projection of the class token, L2-normalised. Forward only: it is frozen.
 *
 * Both take their parameters as the fp32 buffer that the parameter table describes
 * and, in bf16, a second buffer of the same offsets in bf16 ("shadow") that the
 * products read. Source of the architecture: Radford et al. 2021, section 2.4;
 * transformers' modeling_clip.py for the order of operations.
 */
#ifndef NCLIP_MODEL_TOWERS_H
#define NCLIP_MODEL_TOWERS_H

#include "nclip/arena.h"
#include "nclip/captions/packing.h"
#include "nclip/model/parameters.h"
#include "nclip/ops.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Parameters in the backend's memory. */
struct nc_weights {
    const float *master;        /* fp32, tower_elements */
    const nc_bfloat16 *shadow;  /* the same as bf16; NULL in fp32 */
};

/* ---- Text --------------------------------------------------------------------------- */

struct nc_text_tower;

/* The most that one call will hold. */
struct nc_text_capacity {
    size_t captions, rows, tokens, repeated; /* as in packing.h */
    bool backward; /* keep every block's activations for nc_text_tower_backward */
    bool keep_norms; /* ... and its norms' outputs, which are computed again otherwise: 4 width T a
                        row and block */
};

/* Reserves the activations in `arena`; the tower can be used once that is
 * committed. `ops`, `model shape` and `table` must outlive the tower. */
int nc_text_tower_create(struct nc_ops *ops, const struct nc_model_shape *shape,
                         const struct nc_parameter_table *table, enum nc_type type,
                         const struct nc_text_capacity *capacity, struct nc_arena *arena,
                         struct nc_text_tower **tower);
void nc_text_tower_destroy(struct nc_text_tower *tower);

/* Puts a batch's rows into the tower: from the packing's arrays in host memory, or with `staged`
 * from copies of them in the backend's memory (of which the arrays alone count). */
int nc_text_tower_load(struct nc_text_tower *tower, const struct nc_packing *packing,
                       const struct nc_packing *staged);

/* Runs over the batch that was loaded last; of `packing` only the counts are read.
 * features[captions, embedding] fp32 in the backend's memory: = projected, L2-normalised
 * (`raw`: not normalised). `keep`: a backward pass will follow. */
int nc_text_tower_forward(struct nc_text_tower *tower, const struct nc_weights *weights,
                          const struct nc_packing *packing, bool keep, bool raw, float *features);

/* From dfeatures[captions, embedding] (with respect to the normalised features of the last
 * forward call with `keep`, same packing) to gradients[tower_elements]: = or, with
 * `accumulate`, += for every table row with trainable[row]; others are left alone, and
 * blocks below the lowest trained one are not visited. */
int nc_text_tower_backward(struct nc_text_tower *tower, const struct nc_weights *weights,
                           const struct nc_packing *packing, const float *dfeatures,
                           const bool *trainable, bool accumulate, float *gradients);

/* Has `ready` called during backward passes (from the last block down): gradients[from ..
 * tower_elements) will not change any more in that pass. NULL ends it. */
typedef int (*nc_gradients_ready)(void *context, size_t from);
void nc_text_tower_watch_gradients(struct nc_text_tower *tower, nc_gradients_ready ready,
                                   void *context);

/* Tokens of a caption that matter: to a causal tower those up to and with its end-of-text token, by
 * the checkpoint's rule; else all of them. */
size_t nc_caption_end(const struct nc_model_shape *shape, const int32_t *tokens, size_t count);

/* Rows that a caption of so many tokens takes. */
size_t nc_caption_rows(const struct nc_model_shape *shape, const int32_t *tokens, size_t count);

/* Adds a caption to a batch as the tower reads it: cut behind its end, or filled up with padding.
 * `tokens` are 1 to `context`, without padding; what nc_caption_end cut off may be missing. */
int nc_caption_pack(const struct nc_model_shape *shape, const int32_t *tokens, size_t count,
                    bool share_prefixes, struct nc_packing *packing);

/* ---- Vision ------------------------------------------------------------------------- */

struct nc_vision_tower;
int nc_vision_tower_create(struct nc_ops *ops, const struct nc_model_shape *shape,
                           const struct nc_parameter_table *table, enum nc_type type,
                           size_t pictures, struct nc_arena *arena, struct nc_vision_tower **tower);
void nc_vision_tower_destroy(struct nc_vision_tower *tower);

/* pixels[pictures, channels, image_size, image_size] fp32 in host memory, preprocessed.
 * features[pictures, embedding] fp32 in the backend's memory. */
int nc_vision_tower_forward(struct nc_vision_tower *tower, const struct nc_weights *weights,
                            const float *pixels, size_t pictures, bool raw, float *features);

#endif
