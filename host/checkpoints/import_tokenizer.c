/* The tokenizer that comes with a checkpoint: its ids, how open_clip cleans texts before, its
 * files. */
#include "import_tokenizer.h"

#include "exchange.h"
#include "nclip/support/error.h"
#include "nclip/support/files.h"

#include <stdio.h>
#include <stdlib.h>

/* How texts are cleaned first is told to the folder that is written, which has no config of
 * open_clip's. */
static int read_cleaning(const char *folder, const char *config, enum nc_text_cleaning *cleaning)
{
    enum nc_text_cleaning noted;
    int status = nc_text_cleaning_of_config(config, cleaning);
    if (status == NC_OK)
        status = nc_text_cleaning_noted(folder, &noted);
    if (status == NC_OK && noted != NC_TEXT_AS_IT_IS && noted != *cleaning)
        status = nc_error(
            NC_BAD_INPUT,
            "%s: \"" NC_TEXT_CLEANING_KEY "\" of its tokenizer_config.json is %s, but %s "
            "asks for %s; take the tokenizer of this model",
            folder, nc_text_cleaning_names[noted], config, nc_text_cleaning_names[*cleaning]);
    if (status == NC_OK && noted == *cleaning)
        *cleaning = NC_TEXT_AS_IT_IS; /* it is there already */
    return status;
}

static int load(const char *folder, bool says_ids, struct nc_model_shape *shape)
{
    struct nc_tokenizer *tokenizer;
    int status = nc_tokenizer_load(folder, NC_TOKENIZER_TRANSFORMERS, &tokenizer);
    if (status != NC_OK)
        return status;
    if (nc_tokenizer_vocabulary_size(tokenizer) > shape->vocabulary)
        status = nc_error(NC_BAD_INPUT,
                          "%s: the tokenizer knows %zu tokens, but the model %zu; it belongs to "
                          "another model",
                          folder, nc_tokenizer_vocabulary_size(tokenizer), shape->vocabulary);
    else if (!says_ids)
        shape->start_token = nc_tokenizer_start(tokenizer);
    if (nc_shape_is_padded(shape) && nc_tokenizer_pad(tokenizer) >= 0)
        shape->pad_token = nc_tokenizer_pad(tokenizer);
    nc_tokenizer_destroy(tokenizer);
    return status;
}

int nc_import_tokenizer_read(const struct nc_import_options *options, const char *folder,
                             const char *open_clip, bool says_ids, struct nc_model_shape *shape,
                             struct nc_import_tokenizer *tokenizer)
{
    const char *given = options->tokenizer;
    folder = given ? given : folder;
    if (!says_ids) {
        shape->start_token = shape->vocabulary == NC_CLIP_VOCABULARY ? NC_CLIP_START : -1;
        if (!nc_shape_is_padded(shape)) /* else its config said */
            shape->pad_token = shape->vocabulary > 1 ? 1 : -1;
    }
    if (options->no_tokenizer) /* what fills captions up is the tower's all the same */
        return nc_shape_is_padded(shape) ? nc_padding_read(folder, shape) : NC_OK;
    if (!nc_tokenizer_is_in(folder))
        return given ? nc_error(NC_BAD_INPUT, "%s: there are no tokenizer files in this folder",
                                given)
                     : NC_OK;
    int status = open_clip ? read_cleaning(folder, open_clip, &tokenizer->cleaning) : NC_OK;
    if (status == NC_OK)
        status = load(folder, says_ids, shape);
    if (status == NC_OK)
        tokenizer->folder = folder;
    if (status != NC_BAD_INPUT || given)
        return status;
    char message[1900];
    snprintf(message, sizeof message, "%s", nc_error_message());
    return nc_error(
        status, "%s (--no-tokenizer takes the model without it, for nclip encode --ids)", message);
}

int nc_import_tokenizer_write(const struct nc_import_tokenizer *tokenizer,
                              const struct nc_staging *staging)
{
    static const char name[] = "tokenizer_config.json";
    if (!tokenizer->folder)
        return NC_OK;
    int status = nc_staging_copy_tokenizer(staging, tokenizer->folder);
    if (status != NC_OK || tokenizer->cleaning == NC_TEXT_AS_IT_IS)
        return status;
    char *from = nc_path_join(tokenizer->folder, name), *to = nc_staging_path(staging, name);
    char value[40];
    snprintf(value, sizeof value, "\"%s\"", nc_text_cleaning_names[tokenizer->cleaning]);
    status = from && to ? nc_config_copy_with_member(from, to, NULL, NC_TEXT_CLEANING_KEY, value)
                        : nc_error(NC_FAILED, "%s: no memory", tokenizer->folder);
    free(from);
    free(to);
    return status;
}
