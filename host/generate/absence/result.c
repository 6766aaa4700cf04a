/* Writes the captions that were made, and the list of those that were not, in the captions' order.
 */
#include "parts.h"

#include "nclip/captions/output.h"
#include "nclip/formats/json.h"
#include "nclip/support/error.h"
#include "nclip/support/files.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- Captions that were written ----------------------------------------------------------- */

static bool add_model(cJSON *object, const char *name, const char *model)
{
    return model ? cJSON_AddStringToObject(object, name, model) != NULL
                 : cJSON_AddNullToObject(object, name) != NULL;
}

static cJSON *make_source(const struct absence *a, const struct absence_item *item)
{
    const struct nc_absence_options *options = a->options;
    bool drawn = options->objects == NC_ABSENCE_RANDOM;
    cJSON *root = cJSON_CreateObject();
    bool made = root && cJSON_AddStringToObject(root, "pipeline", "absence") &&
                cJSON_AddStringToObject(root, "object", item->object) &&
                cJSON_AddStringToObject(root, "objects",
                                        !drawn                 ? "model"
                                        : options->object_list ? "list"
                                                               : "captions") &&
                cJSON_AddStringToObject(root, "phrasing", item->rewrite->name) &&
                add_model(root, "text_model", nc_chat_model(a->chat, NC_CHAT_TEXT)) &&
                add_model(root, "vision_model",
                          options->vision_check ? nc_chat_model(a->chat, NC_CHAT_VISION) : NULL);
    cJSON *prompts = made ? cJSON_AddObjectToObject(root, "prompts") : NULL;
    made = prompts &&
           (drawn || cJSON_AddStringToObject(prompts, "object", a->object_prompt->hash)) &&
           (!options->vision_check ||
            cJSON_AddStringToObject(prompts, "check", a->check_prompt->hash)) &&
           cJSON_AddStringToObject(prompts, "rewrite", item->rewrite->hash) &&
           cJSON_AddNumberToObject(root, "temperature", options->temperature) &&
           cJSON_AddNumberToObject(root, "top_p", options->top_p) &&
           nc_json_add_count(root, "seed", options->seed);
    if (!made) {
        cJSON_Delete(root);
        root = NULL;
    }
    return root;
}

static int write_annotations(const struct absence *a, struct nc_caption_output *output,
                             char *const *image_ids, unsigned char *used)
{
    int status = NC_OK;
    for (size_t i = 0; i < a->captions.count && status == NC_OK; i++) {
        const struct absence_item *item = &a->items[i];
        char number[24];
        if (item->outcome != ABSENCE_WRITTEN)
            continue;
        size_t image = a->captions.items[i].image;
        snprintf(number, sizeof number, "%zu", i);
        used[image] = 1;
        status =
            nc_caption_output_add(output, &(struct nc_caption_annotation){
                                              .id = a->ids.unnamed ? number : a->ids.captions[i],
                                              .image_id = image_ids[image],
                                              .caption = a->captions.items[i].text,
                                              .updated = item->text,
                                              .source = make_source(a, item),
                                          });
    }
    for (size_t i = 0; i < a->captions.image_count && status == NC_OK; i++) {
        if (used[i])
            status = nc_caption_output_add_picture(output, image_ids[i], a->captions.images[i]);
    }
    return status;
}

int absence_write_result(const struct absence *a, const char *path)
{
    struct nc_caption_output *output = NULL;
    char **image_ids = absence_image_ids(a);
    unsigned char *used = calloc(a->captions.image_count + 1, 1);
    int status = image_ids && used ? nc_caption_output_create(path, &output)
                                   : nc_error(NC_FAILED, "%s: no memory", path);
    if (status == NC_OK)
        status = write_annotations(a, output, image_ids, used);
    if (status == NC_OK)
        status = nc_caption_output_commit(output);
    else
        nc_caption_output_abort(output);
    for (size_t i = 0; image_ids && i < a->captions.image_count; i++)
        free(image_ids[i]);
    free(image_ids);
    free(used);
    return status;
}

/* ---- Captions that were not ---------------------------------------------------------------- */

static const char *reason_name(const struct absence_item *item)
{
    return item->outcome == ABSENCE_PRESENT      ? "present"
           : item->outcome == ABSENCE_UNANSWERED ? "unanswered"
                                                 : nc_quality_name(item->reason);
}

static const char *reason_text(const struct absence_item *item)
{
    return item->outcome == ABSENCE_PRESENT      ? "the picture shows the object"
           : item->outcome == ABSENCE_UNANSWERED ? "no server has answered"
                                                 : nc_quality_text(item->reason);
}

static int write_reject(const struct absence *a, size_t number, struct nc_writer *writer)
{
    const struct absence_item *item = &a->items[number];
    const struct nc_caption *caption = &a->captions.items[number];
    cJSON *root = cJSON_CreateObject();
    bool made = root && cJSON_AddNumberToObject(root, "annotation", (double)number) &&
                cJSON_AddStringToObject(root, "image", a->captions.images[caption->image]) &&
                cJSON_AddStringToObject(root, "caption", caption->text) &&
                (!item->object || cJSON_AddStringToObject(root, "object", item->object)) &&
                (!item->text || cJSON_AddStringToObject(root, "answer", item->text)) &&
                cJSON_AddStringToObject(root, "reason", reason_name(item));
    char *text = made ? cJSON_PrintUnformatted(root) : NULL;
    int status = text ? nc_writer_printf(writer, "%s\n", text)
                      : nc_error(NC_FAILED, "no memory for a list of captions");
    cJSON_free(text);
    cJSON_Delete(root);
    return status;
}

int absence_write_rejects(const struct absence *a)
{
    const struct nc_absence_options *options = a->options;
    struct nc_writer *writer = NULL;
    int status = options->rejects ? nc_writer_create(options->rejects, &writer) : NC_OK;
    for (size_t i = 0; i < a->captions.count && status == NC_OK; i++) {
        const struct absence_item *item = &a->items[i];
        if (item->outcome == ABSENCE_WRITTEN)
            continue;
        if (options->explain)
            options->explain(options->context, a->captions.items[i].text, item->object, item->text,
                             reason_text(item));
        if (writer)
            status = write_reject(a, i, writer);
    }
    if (status == NC_OK && writer)
        return nc_writer_commit(writer);
    nc_writer_abort(writer);
    return status;
}
