/* Keeps the records of a file of COCO captions. */
#include "coco_file.h"

#include "nclip/support/error.h"
#include "nclip/support/text_pool.h"
#include "reader.h"
#include "record.h"

#include <stdlib.h>

/* What a caption carries that nc_captions does not hold. */
struct extra {
    const char *original, *absence, *paraphrase;
    const char **choices; /* owned */
    size_t choice_count;
};

struct nc_caption_file {
    struct nc_captions captions;
    struct extra *extras; /* [captions.count] */
    size_t count, capacity;
    struct nc_text_pool *pool;
    struct nc_caption_parser parser; /* while it is read */
    size_t shares;
};

static int keep(struct nc_caption_file *file, const char *where, const char *text,
                const char **copy)
{
    *copy = text ? nc_text_pool_copy(&file->pool, text) : NULL;
    return !text || *copy ? NC_OK : nc_error(NC_FAILED, "%s: no memory", where);
}

static int note_extra(void *context, const char *where, const cJSON *object)
{
    struct nc_caption_file *file = context;
    struct nc_caption_record record = {0};
    struct extra *extras =
        captions_grow(file->extras, file->count, &file->capacity, sizeof *extras);
    if (!extras)
        return nc_error(NC_FAILED, "%s: no memory", where);
    file->extras = extras;
    struct extra *extra = &extras[file->count++];
    *extra = (struct extra){0};
    int status = captions_record_roles(where, object, &file->parser, &record);
    if (status == NC_OK)
        status = keep(file, where, record.original, &extra->original);
    if (status == NC_OK)
        status = keep(file, where, record.absence, &extra->absence);
    if (status == NC_OK)
        status = keep(file, where, record.paraphrase, &extra->paraphrase);
    if (status == NC_OK && record.choice_count) {
        extra->choices = calloc(record.choice_count, sizeof *extra->choices);
        if (!extra->choices)
            return nc_error(NC_FAILED, "%s: no memory", where);
    }
    for (size_t i = 0; i < record.choice_count && status == NC_OK; i++)
        status = keep(file, where, record.choices[i], &extra->choices[extra->choice_count++]);
    return status;
}

int captions_file_read(const char *name, const char *text, size_t size,
                       struct nc_caption_file **out)
{
    *out = NULL;
    struct nc_caption_file *file = calloc(1, sizeof *file);
    if (!file)
        return nc_error(NC_FAILED, "%s: no memory", name);
    file->shares = 1;
    int status = captions_load_text(name, text, size, &file->captions, note_extra, file);
    nc_caption_parser_free(&file->parser);
    if (status == NC_OK)
        *out = file;
    else
        captions_file_release(file);
    return status;
}

size_t captions_file_count(const struct nc_caption_file *file)
{
    return file->captions.count;
}

struct nc_caption_file *captions_file_share(struct nc_caption_file *file)
{
    file->shares++;
    return file;
}

void captions_file_release(struct nc_caption_file *file)
{
    if (!file || --file->shares)
        return;
    for (size_t i = 0; i < file->count; i++)
        free(file->extras[i].choices);
    free(file->extras);
    nc_text_pool_free(file->pool);
    nc_captions_free(&file->captions);
    free(file);
}

void captions_file_record(const struct nc_caption_file *file, size_t i,
                          struct nc_caption_record *record)
{
    const struct nc_caption *caption = &file->captions.items[i];
    const struct extra *extra = &file->extras[i];
    *record = (struct nc_caption_record){
        .image = file->captions.images[caption->image],
        .caption = caption->text,
        .original = extra->original,
        .contradiction = caption->contradiction,
        .absence = extra->absence,
        .paraphrase = extra->paraphrase,
        .distractor = caption->distractor == NC_NO_PICTURE
                          ? NULL
                          : file->captions.images[caption->distractor],
        .choices = extra->choices,
        .choice_count = extra->choice_count,
    };
}
