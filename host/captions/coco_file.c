/* Keeps the records of a file of COCO captions. */
#include "coco_file.h"

#include "nclip/support/error.h"
#include "reader.h"

#include <stdlib.h>

struct nc_caption_file {
    struct nc_captions captions;
    size_t shares;
};

int captions_file_read(const char *name, const char *text, size_t size,
                       struct nc_caption_file **out)
{
    *out = NULL;
    struct nc_caption_file *file = calloc(1, sizeof *file);
    if (!file)
        return nc_error(NC_FAILED, "%s: no memory", name);
    file->shares = 1;
    int status = captions_load_text(name, text, size, &file->captions, NULL, NULL);
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
    nc_captions_free(&file->captions);
    free(file);
}

void captions_file_record(const struct nc_caption_file *file, size_t i,
                          struct nc_caption_record *record)
{
    const struct nc_caption *caption = &file->captions.items[i];
    *record = (struct nc_caption_record){
        .image = file->captions.images[caption->image],
        .caption = caption->text,
        .original = caption->original,
        .contradiction = caption->contradiction,
        .absence = caption->absence,
        .paraphrase = caption->paraphrase,
        .distractor = caption->distractor == NC_NO_PICTURE
                          ? NULL
                          : file->captions.images[caption->distractor],
        .choices = caption->choices,
        .choice_count = caption->choice_count,
    };
}
