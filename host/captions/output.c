/* Writes COCO caption JSON. */
#include "nclip/captions/output.h"

#include "nclip/support/error.h"
#include "nclip/support/files.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct nc_caption_output {
    struct nc_writer *writer;
    size_t annotations, pictures;
};

int nc_caption_output_create(const char *path, struct nc_caption_output **out)
{
    *out = NULL;
    struct nc_caption_output *output = calloc(1, sizeof *output);
    if (!output)
        return nc_error(NC_FAILED, "%s: no memory", path);
    int status = nc_writer_create(path, &output->writer);
    if (status == NC_OK)
        status = nc_writer_printf(output->writer, "{\"annotations\": [\n");
    if (status != NC_OK) {
        nc_caption_output_abort(output);
        return status;
    }
    *out = output;
    return NC_OK;
}

static cJSON *make_id(const char *id)
{
    enum { EXACT_DIGITS = 15 };
    size_t length = strlen(id);
    bool number = length && length <= EXACT_DIGITS && strspn(id, "0123456789") == length &&
                  (id[0] != '0' || length == 1);
    return number ? cJSON_CreateNumber(strtod(id, NULL)) : cJSON_CreateString(id);
}

static bool add_id(cJSON *object, const char *name, const char *id)
{
    cJSON *item = make_id(id);
    bool added = item && cJSON_AddItemToObject(object, name, item);
    if (!added)
        cJSON_Delete(item);
    return added;
}

/* Frees the item; NULL: no memory. */
static char *print(cJSON *item, bool complete)
{
    char *text = item && complete ? cJSON_PrintUnformatted(item) : NULL;
    cJSON_Delete(item);
    return text;
}

static int no_memory(void)
{
    return nc_error(NC_FAILED, "no memory for a caption");
}

int nc_caption_output_add(struct nc_caption_output *output,
                          const struct nc_caption_annotation *annotation)
{
    cJSON *root = cJSON_CreateObject();
    bool made = root && add_id(root, "id", annotation->id) &&
                add_id(root, "image_id", annotation->image_id) &&
                cJSON_AddStringToObject(root, "caption", annotation->caption) &&
                cJSON_AddStringToObject(root, "updated_caption", annotation->updated);
    made = made && (!annotation->contradiction ||
                    cJSON_AddStringToObject(root, "contradiction", annotation->contradiction));
    if (!made || !cJSON_AddItemToObject(root, "source", annotation->source)) {
        cJSON_Delete(annotation->source);
        made = false;
    }
    char *text = print(root, made);
    int status =
        text ? nc_writer_printf(output->writer, "%s%s", output->annotations++ ? ",\n" : "", text)
             : no_memory();
    cJSON_free(text);
    return status;
}

int nc_caption_output_add_picture(struct nc_caption_output *output, const char *id,
                                  const char *file_name)
{
    char *number = print(make_id(id), true), *name = print(cJSON_CreateString(file_name), true);
    int status =
        number && name
            ? nc_writer_printf(output->writer, "%s{\"id\": %s, \"file_name\": %s}",
                               output->pictures++ ? ",\n" : "\n],\n\"images\": [\n", number, name)
            : no_memory();
    cJSON_free(number);
    cJSON_free(name);
    return status;
}

int nc_caption_output_commit(struct nc_caption_output *output)
{
    int status = nc_writer_printf(output->writer, "%s\n]}\n",
                                  output->pictures ? "" : "\n],\n\"images\": [\n");
    if (status == NC_OK) {
        status = nc_writer_commit(output->writer);
        output->writer = NULL;
    }
    nc_caption_output_abort(output);
    return status;
}

void nc_caption_output_abort(struct nc_caption_output *output)
{
    if (!output)
        return;
    nc_writer_abort(output->writer);
    free(output);
}
