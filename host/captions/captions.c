/* Loads a file of captions by the reader of its format. */
#include "nclip/captions/captions.h"

#include "coco.h"
#include "lines.h"
#include "nclip/formats/text.h"
#include "nclip/support/error.h"
#include "reader.h"

#include <malloc.h>
#include <stdlib.h>
#include <string.h>

int nc_captions_load(const char *path, struct nc_captions *captions)
{
    return nc_captions_load_visiting(path, captions, NULL, NULL);
}

int captions_load_text(const char *name, const char *text, size_t size,
                       struct nc_captions *captions, nc_captions_visit visit, void *context)
{
    *captions = (struct nc_captions){0};
    struct captions_reader reader = {.path = name,
                                     .text = text,
                                     .size = size,
                                     .captions = captions,
                                     .visit = visit,
                                     .context = context};
    enum captions_format format;
    int status = nc_string_map_create(&reader.images);
    if (status == NC_OK)
        status = captions_detect(name, text, size, true, &format);
    if (status == NC_OK)
        status = format == CAPTIONS_COCO ? captions_read_coco(&reader)
                                         : captions_read_lines(&reader);
    if (status == NC_OK && captions->count == 0)
        status = nc_error(NC_BAD_INPUT, "%s: holds no captions", name);
    nc_string_map_destroy(reader.images);
    nc_caption_parser_free(&reader.parser);
    if (status != NC_OK)
        nc_captions_free(captions);
    return status;
}

int nc_captions_load_visiting(const char *path, struct nc_captions *captions,
                              nc_captions_visit visit, void *context)
{
    *captions = (struct nc_captions){0};
    char *text = NULL;
    size_t size;
    int status = nc_text_read(path, (size_t)4 << 30, &text, &size);
    if (status != NC_OK)
        return status;
    status = captions_load_text(strcmp(path, "-") == 0 ? "standard input" : path, text, size,
                                captions, visit, context);
    free(text);
    malloc_trim(0); /* the parser's small pieces go back to the system before training starts */
    return status;
}

void nc_captions_free(struct nc_captions *captions)
{
    for (size_t i = 0; i < captions->count; i++)
        free(captions->items[i].choices);
    free(captions->items);
    free(captions->images);
    nc_text_pool_free(captions->owned);
    *captions = (struct nc_captions){0};
}

const char *const *nc_caption_texts(const struct nc_caption *caption, enum nc_text_role role,
                                    size_t *count)
{
    const char *const *one = role == NC_TEXT_CAPTION         ? &caption->text
                             : role == NC_TEXT_CONTRADICTION ? &caption->contradiction
                             : role == NC_TEXT_ABSENCE       ? &caption->absence
                                                             : &caption->paraphrase;
    if (role == NC_TEXT_CHOICES) {
        *count = caption->choice_count;
        return caption->choices;
    }
    *count = *one != NULL;
    return one;
}
