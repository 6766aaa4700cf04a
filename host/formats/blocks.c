/* Cuts a stream into blocks of whole lines or records. */
#include "nclip/formats/blocks.h"

#include "nclip/formats/text.h"
#include "nclip/support/error.h"

#include <stdlib.h>
#include <string.h>

enum { USUAL = 1 << 20 };

struct nc_blocks {
    struct nc_byte_stream *stream;
    bool records;
    struct nc_csv_form form;
    size_t usual;
    uint64_t offset; /* of what is read next */
    char *carry;     /* the begin of a line whose end is not read yet */
    size_t carry_size, carry_capacity;
};

static int grow(char **bytes, size_t *capacity, size_t wanted)
{
    if (*capacity >= wanted)
        return NC_OK;
    char *larger = realloc(*bytes, wanted);
    if (!larger)
        return nc_error(NC_FAILED, "no memory for a block of %zu bytes", wanted);
    *bytes = larger;
    *capacity = wanted;
    return NC_OK;
}

int nc_blocks_open(struct nc_byte_stream *stream, const struct nc_csv_form *form, size_t usual,
                   struct nc_blocks **blocks)
{
    const void *head;
    size_t size;
    bool whole;
    *blocks = NULL;
    int status = nc_byte_stream_peek(stream, &head, &size, &whole);
    size_t mark = status == NC_OK ? nc_text_mark(head, size) : 0;
    if (status == NC_OK)
        status = nc_byte_stream_skip(stream, mark);
    if (status != NC_OK)
        return status;
    *blocks = calloc(1, sizeof **blocks);
    if (!*blocks)
        return nc_error(NC_FAILED, "%s: no memory", nc_byte_stream_name(stream));
    (*blocks)->stream = stream;
    (*blocks)->records = form != NULL;
    if (form)
        (*blocks)->form = *form;
    (*blocks)->usual = usual ? usual : USUAL;
    (*blocks)->offset = mark;
    return NC_OK;
}

void nc_blocks_close(struct nc_blocks *blocks)
{
    if (!blocks)
        return;
    free(blocks->carry);
    free(blocks);
}

const struct nc_csv_form *nc_blocks_form(const struct nc_blocks *blocks)
{
    return &blocks->form;
}

void nc_block_free(struct nc_block *block)
{
    free(block->bytes);
    *block = (struct nc_block){0};
}

/* Where the last whole line ends. A return at the very end is an end: a line feed behind it makes
 * an empty line of the next block. */
static size_t whole_lines(const char *bytes, size_t size)
{
    const char *end = size ? memrchr(bytes, '\n', size) : NULL;
    if (!end && size)
        end = memrchr(bytes, '\r', size);
    return end ? (size_t)(end + 1 - bytes) : 0;
}

static size_t whole_records(struct nc_blocks *blocks, const char *bytes, size_t size, bool whole)
{
    const char *at = bytes, *end = bytes + size;
    struct nc_csv_record record;
    while (at < end && nc_csv_next(&blocks->form, at, end, whole, 0, NULL, 0, &record)) {
        if (!blocks->form.columns && !nc_is_blank(at, (size_t)(record.end - at)))
            blocks->form.columns = record.fields;
        at = record.end;
    }
    return (size_t)(at - bytes);
}

static int too_long(const struct nc_blocks *blocks)
{
    return nc_error(NC_BAD_INPUT, "%s: %s of more than %d MiB at byte %llu%s",
                    nc_byte_stream_name(blocks->stream), blocks->records ? "a record" : "a line",
                    NC_BLOCKS_LONGEST >> 20, (unsigned long long)blocks->offset,
                    blocks->records ? ": is a quote missing before?" : "");
}

int nc_blocks_read(struct nc_blocks *blocks, struct nc_block *block)
{
    size_t used = blocks->carry_size, complete = 0;
    size_t wanted = 2 * used > blocks->usual ? 2 * used : blocks->usual;
    int status = grow(&block->bytes, &block->capacity, wanted);
    block->size = 0;
    block->last = false;
    if (status != NC_OK)
        return status;
    if (used)
        memcpy(block->bytes, blocks->carry, used);
    for (;;) {
        size_t got;
        status = nc_byte_stream_read(blocks->stream, block->bytes + used, wanted - used, &got);
        if (status != NC_OK)
            return status;
        bool end = used + got < wanted;
        used += got;
        complete = blocks->records ? whole_records(blocks, block->bytes, used, end)
                   : end           ? used
                                   : whole_lines(block->bytes, used);
        if (end || complete)
            break;
        if (used >= NC_BLOCKS_LONGEST)
            return too_long(blocks);
        wanted = 2 * used;
        status = grow(&block->bytes, &block->capacity, wanted);
        if (status != NC_OK)
            return status;
    }
    blocks->carry_size = used - complete;
    status = grow(&blocks->carry, &blocks->carry_capacity,
                  blocks->carry_size ? blocks->carry_size : 1);
    if (status != NC_OK)
        return status;
    memcpy(blocks->carry, block->bytes + complete, blocks->carry_size);
    block->size = complete;
    block->offset = blocks->offset;
    blocks->offset += complete;
    block->last = complete == 0;
    return NC_OK;
}
