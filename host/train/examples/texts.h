/* How the texts of examples become tokens. */
#ifndef NCLIP_HOST_TRAIN_EXAMPLES_TEXTS_H
#define NCLIP_HOST_TRAIN_EXAMPLES_TEXTS_H

#include "nclip/model/shape.h"
#include "nclip/tokenizer/tokenizer.h"

/* Encodes one text into tokens->ids. *count of them matter: they end with the end-of-text token
 * (nc_caption_end); 0: the text is too long, and skipped. An id that the model's vocabulary lacks
 * is NC_BAD_INPUT. */
int nc_text_encode(const struct nc_tokenizer *tokenizer, const struct nc_model_shape *shape,
                   enum nc_truncation too_long, const char *text, struct nc_tokens *tokens,
                   size_t *count);

#endif
