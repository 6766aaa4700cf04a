/* COCO JSON and JSONL, by the loader and as a stream: what the stream reads, the loader reads too. */
#include "fuzz.h"

#include "nclip/captions/captions.h"
#include "nclip/captions/records.h"
#include "nclip/support/error.h"

#include <stdlib.h>
#include <string.h>

static volatile size_t touched;

static size_t length(const char *text)
{
    return text ? strlen(text) : 0;
}

static void compare(const struct nc_caption_record *record, const struct nc_captions *captions,
                    size_t i)
{
    if (!captions->items || i >= captions->count ||
        strcmp(captions->items[i].text, record->caption) != 0 ||
        strcmp(captions->images[captions->items[i].image], record->image) != 0)
        abort();
    touched += length(record->original) + length(record->absence) + length(record->paraphrase) +
               length(record->contradiction) + length(record->distractor);
    for (size_t choice = 0; choice < record->choice_count; choice++)
        touched += strlen(record->choices[choice]);
}

static void stream(const char *path, const struct nc_captions *captions)
{
    struct nc_caption_stream *records;
    struct nc_caption_batch batch = {0};
    struct nc_caption_parser parser = {0};
    size_t count = 0;
    int status = nc_caption_stream_open(&path, 1, &records);
    while (status == NC_OK) {
        status = nc_caption_stream_next(records, &batch);
        if (status != NC_OK || !batch.count)
            break;
        for (size_t i = 0; i < batch.count && status == NC_OK; i++) {
            struct nc_caption_record record;
            status = nc_caption_batch_read(&batch, i, &parser, &record);
            if (status == NC_OK && captions->count)
                compare(&record, captions, count++);
        }
    }
    fuzz_expect_sentence(status);
    if (status == NC_OK && (!captions->count || count != captions->count))
        abort();
    nc_caption_parser_free(&parser);
    nc_caption_batch_free(&batch);
    nc_caption_stream_close(records);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct nc_captions captions;
    const char *path = fuzz_file("captions.json", data, size);
    int status = nc_captions_load(path, &captions);
    fuzz_expect_sentence(status);
    for (size_t i = 0; status == NC_OK && i < captions.count; i++) {
        if (captions.items[i].image >= captions.image_count)
            abort();
        touched += strlen(captions.items[i].text) + strlen(captions.images[captions.items[i].image]);
    }
    stream(path, &captions);
    if (status == NC_OK)
        nc_captions_free(&captions);
    return 0;
}
