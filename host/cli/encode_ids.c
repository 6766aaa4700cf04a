/* Reads captions that are token ids, and encodes them. */
#include "encode_ids.h"

#include "nclip/formats/json.h"
#include "nclip/formats/npy.h"
#include "nclip/formats/text.h"
#include "nclip/support/error.h"

#include <stdlib.h>
#include <string.h>

struct captions {
    const char *path;
    int32_t *ids;
    size_t *start; /* [count + 1] */
    size_t count, id_count;
};

/* No file holds more ids than half its bytes, and no more lines than bytes. */
static int allocate(struct captions *captions, const char *text, size_t size)
{
    size_t lines = 2, length;
    const char *line;
    for (struct nc_lines each = nc_lines_of(text, size); nc_lines_next(&each, &line, &length);)
        lines++;
    captions->ids = malloc((size / 2 + 1) * sizeof *captions->ids);
    captions->start = calloc(lines, sizeof *captions->start);
    return captions->ids && captions->start
               ? NC_OK
               : nc_error(NC_FAILED, "%s: no memory for its token ids", captions->path);
}

static int read_line(struct captions *captions, const char *line, size_t length)
{
    char where[512];
    cJSON *array;
    snprintf(where, sizeof where, "%s line %zu", captions->path, captions->count + 1);
    int status = nc_json_parse(where, line, length, &array);
    if (status != NC_OK)
        return status;
    const cJSON *item;
    if (!cJSON_IsArray(array))
        status = nc_error(NC_BAD_INPUT, "%s: not an array of token ids, as nclip tokenize writes "
                          "them", where);
    cJSON_ArrayForEach(item, array)
    {
        if (status != NC_OK)
            break;
        double id = cJSON_IsNumber(item) ? item->valuedouble : -1;
        if (!(id >= 0 && id <= INT32_MAX && id == (double)(int32_t)id))
            status = nc_error(NC_BAD_INPUT, "%s: holds something else than token ids", where);
        else
            captions->ids[captions->id_count++] = (int32_t)id;
    }
    cJSON_Delete(array);
    captions->start[++captions->count] = captions->id_count;
    return status;
}

static int read_captions(struct captions *captions, const char *text, size_t size)
{
    int status = allocate(captions, text, size);
    struct nc_lines lines = nc_lines_of(text, size);
    const char *line;
    size_t length;
    while (status == NC_OK && nc_lines_next(&lines, &line, &length))
        status = read_line(captions, line, length);
    return status;
}

int encode_ids(struct nc_encoder *encoder, const char *path, size_t embedding, bool raw,
               const char *out)
{
    struct captions captions = {.path = strcmp(path, "-") == 0 ? "standard input" : path};
    char *text = NULL;
    float *features = NULL;
    size_t size;
    int status = nc_text_read(path, (size_t)4 << 30, &text, &size);
    if (status == NC_OK)
        status = read_captions(&captions, text, size);
    if (status == NC_OK && !(features = malloc((captions.count + 1) * embedding * sizeof *features)))
        status = nc_error(NC_FAILED, "encode: no memory for %zu captions", captions.count);
    if (status == NC_OK) {
        status = nc_encoder_ids(encoder, captions.ids, captions.start, captions.count, 1, raw,
                                features);
        if (status != NC_OK)
            nc_error_prefix(status, "%s", captions.path);
    }
    if (status == NC_OK)
        status = nc_npy_write(out, features, captions.count, embedding);
    free(features);
    free(captions.ids);
    free(captions.start);
    free(text);
    return status;
}
