/* What captions are filled up with, of families whose config.json does not say so: SigLIP 2's names no
 * token and means its tokenizer's, and the default of its class is another one. */
#include "folder.h"

#include "nclip/formats/json.h"
#include "nclip/support/error.h"
#include "nclip/support/files.h"
#include "nclip/tokenizer/tokenizer.h"

#include <stdlib.h>
#include <string.h>

static const char *content_of(const cJSON *item)
{
    item = cJSON_IsObject(item) ? nc_json_member(item, "content") : item;
    return cJSON_IsString(item) ? item->valuestring : NULL;
}

/* tokenizer_config.json names the token, and its list of added tokens mostly the id. */
static int32_t listed(const cJSON *config)
{
    const char *name = content_of(nc_json_member(config, "pad_token"));
    const cJSON *item;
    cJSON_ArrayForEach(item, nc_json_member(config, "added_tokens_decoder"))
    {
        const char *content = content_of(item);
        char *end;
        long id = item->string ? strtol(item->string, &end, 10) : -1;
        if (name && content && strcmp(name, content) == 0 && id >= 0 && id < INT32_MAX && !*end)
            return (int32_t)id;
    }
    return -1;
}

int nc_padding_read(const char *folder, struct nc_model_shape *shape)
{
    char *path = nc_path_join(folder, "tokenizer_config.json");
    cJSON *config = NULL;
    int32_t pad = -1;
    int status = path ? NC_OK : nc_error(NC_FAILED, "%s: no memory", folder);
    if (status == NC_OK && nc_file_exists(path)) {
        status = nc_json_load(path, &config);
        pad = status == NC_OK ? listed(config) : -1;
    }
    if (status == NC_OK && pad < 0 && nc_tokenizer_is_in(folder)) {
        struct nc_tokenizer *tokenizer; /* one that is not read must not keep ids from the tower */
        if (nc_tokenizer_load(folder, NC_TOKENIZER_TRANSFORMERS, &tokenizer) == NC_OK) {
            pad = nc_tokenizer_pad(tokenizer);
            nc_tokenizer_destroy(tokenizer);
        }
    }
    if (status == NC_OK && pad >= 0 && (size_t)pad >= shape->vocabulary)
        status = nc_error(NC_BAD_INPUT, "%s: its tokenizer pads with token %d, which is outside the "
                                        "vocabulary of %zu", folder, (int)pad, shape->vocabulary);
    if (status == NC_OK && pad >= 0)
        shape->pad_token = pad;
    cJSON_Delete(config);
    free(path);
    return status;
}
