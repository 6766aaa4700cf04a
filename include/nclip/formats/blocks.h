/* A stream of lines or records, cut into blocks that hold whole ones, so that several threads can
 * count them: one reads while others work on what it read before. */
#ifndef NCLIP_FORMATS_BLOCKS_H
#define NCLIP_FORMATS_BLOCKS_H

#include "nclip/formats/byte_stream.h"
#include "nclip/formats/csv.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { NC_BLOCKS_LONGEST = 1 << 26 }; /* bytes of a line or record; a longer one is NC_BAD_INPUT */

struct nc_block {
    char *bytes; /* owned; its room is used again */
    size_t size, capacity;
    uint64_t offset; /* of its first byte in the unpacked stream */
    bool last;       /* none is left: this one is empty */
};
void nc_block_free(struct nc_block *block); /* {0} is allowed */

struct nc_blocks;

/* `form` NULL: lines; else records, and `columns` is taken from the first one. `usual` bytes are
 * read at once (0: a MiB). A byte order mark is passed over. The stream stays the caller's. */
int nc_blocks_open(struct nc_byte_stream *stream, const struct nc_csv_form *form, size_t usual,
                   struct nc_blocks **blocks);
void nc_blocks_close(struct nc_blocks *blocks); /* NULL is allowed */

/* The next whole lines or records. */
int nc_blocks_read(struct nc_blocks *blocks, struct nc_block *block);

/* How the records are written; its columns are known once a block was read. */
const struct nc_csv_form *nc_blocks_form(const struct nc_blocks *blocks);

#endif
