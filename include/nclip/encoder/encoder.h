/* Turns texts and pictures into features: a model's towers, loaded into a backend's memory. */
#ifndef NCLIP_ENCODER_ENCODER_H
#define NCLIP_ENCODER_ENCODER_H

#include "nclip/checkpoints/folder.h"
#include "nclip/ops.h"
#include "nclip/tokenizer/tokenizer.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct nc_encoder_options {
    enum nc_type precision;
    bool text, vision;                   /* which towers to load */
    size_t batch;                        /* texts or pictures at once; 0: 64 */
    enum nc_tokenizer_rules rules;
    enum nc_truncation too_long;         /* a skipped text's features are zeros */
    const char *tokenizer;               /* folder or file; NULL: the model's folder */
    bool ids; /* with text: token ids will be given (nc_encoder_ids), so no tokenizer is loaded */
};

/* Loads the towers' parameters. `ops` and `model` must outlive the encoder. */
struct nc_encoder;
int nc_encoder_create(struct nc_ops *ops, const struct nc_model *model,
                      const struct nc_encoder_options *options, struct nc_encoder **encoder);
void nc_encoder_destroy(struct nc_encoder *encoder); /* NULL is allowed */

/* Its tokenizer, when it has the text tower; NULL otherwise. Belongs to the encoder. */
const struct nc_tokenizer *nc_encoder_tokenizer(const struct nc_encoder *encoder);

/* features[count, embedding] fp32 in host memory, L2-normalised (`raw`: as projected). */
int nc_encoder_texts(struct nc_encoder *encoder, const char *const *texts, size_t count, bool raw,
                     float *features);

/* Of captions that are token ids already: caption i's are ids[start[i] .. start[i + 1]), with start
 * and end, without padding. Features as of texts. NC_BAD_INPUT names caption `first` + i (from 1)
 * when it is empty, longer than the context, has an id outside the vocabulary, or no end. */
int nc_encoder_ids(struct nc_encoder *encoder, const int32_t *ids, const size_t *start,
                   size_t count, size_t first, bool raw, float *features);

/* pixels[count, channels, image_size, image_size], preprocessed; any count. */
int nc_encoder_pictures(struct nc_encoder *encoder, const float *pixels, size_t count, bool raw,
                        float *features);

struct nc_encoder_counts {
    size_t texts, truncated, skipped, negation_lost;
};
struct nc_encoder_counts nc_encoder_counts(const struct nc_encoder *encoder); /* since create */

#endif
