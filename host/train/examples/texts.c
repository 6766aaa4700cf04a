/* Encodes the texts of examples, and cuts them behind their end. */
#include "texts.h"

#include "nclip/model/towers.h"
#include "nclip/support/error.h"

#include <string.h>

int nc_text_encode(const struct nc_tokenizer *tokenizer, const struct nc_model_shape *shape,
                   enum nc_truncation too_long, const char *text, struct nc_tokens *tokens,
                   size_t *count)
{
    int status =
        nc_tokenizer_encode(tokenizer, text, strlen(text), shape->context, too_long, tokens);
    if (status != NC_OK)
        return nc_error_prefix(status, "caption \"%.60s\"", text);
    *count = nc_caption_end(shape, tokens->ids, tokens->count);
    for (size_t i = 0; i < *count; i++)
        if (tokens->ids[i] < 0 || (size_t)tokens->ids[i] >= shape->vocabulary)
            return nc_error(NC_BAD_INPUT,
                            "caption \"%.60s\": token id %d is outside the model's vocabulary of "
                            "%zu; the tokenizer belongs to another model", text,
                            (int)tokens->ids[i], shape->vocabulary);
    return NC_OK;
}
