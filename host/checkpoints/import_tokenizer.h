/* The tokenizer that comes with a checkpoint that is imported. */
#ifndef NCLIP_HOST_CHECKPOINTS_IMPORT_TOKENIZER_H
#define NCLIP_HOST_CHECKPOINTS_IMPORT_TOKENIZER_H

#include "nclip/checkpoints/exchange.h"
#include "nclip/tokenizer/tokenizer.h"
#include "staging.h"

struct nc_import_tokenizer {
    const char *folder;             /* that its files are taken from, borrowed; NULL: none */
    enum nc_text_cleaning cleaning; /* to be noted in its tokenizer_config.json */
};

/* Reads it, and what the shape takes from it: padding, and, unless the config `says_ids`, the
 * start. `folder`: of the weights; `open_clip`: open_clip's config, or NULL. None is no error; one
 * that came with the weights and cannot be followed is NC_BAD_INPUT, with the way out. */
int nc_import_tokenizer_read(const struct nc_import_options *options, const char *folder,
                             const char *open_clip, bool says_ids, struct nc_model_shape *shape,
                             struct nc_import_tokenizer *tokenizer);

int nc_import_tokenizer_write(const struct nc_import_tokenizer *tokenizer,
                              const struct nc_staging *staging);

#endif
