/* Reads pieces of files in the background, many at once: blocks of rows, of a prepared set.
 *
 *     nc_block_reader_create(0, &reader);
 *     nc_block_reader_start(reader, &reads[i]);      // returns at once
 *     ... compute ...
 *     nc_block_reader_next(reader, &read);           // any that is done
 *
 * By io_uring where the program was built with liburing and the kernel has it, else by threads with
 * pread; past the page cache (O_DIRECT) where the file system takes that. Sums are checked by the
 * reader's threads. NCLIP_READER=uring or threads in the environment forces one.
 */
#ifndef NCLIP_STORE_BLOCK_READER_H
#define NCLIP_STORE_BLOCK_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { NC_BLOCK_ALIGNMENT = 4096 }; /* of the memory that is read into */

/* A piece of a file on its way. It is the caller's, and stays where it is until it is done. */
struct nc_block_read {
    const char *path;
    uint64_t offset; /* of the piece; any */
    size_t bytes;
    bool has_sum;
    uint64_t sum;     /* XXH3 (64 bits, seed 0) of the bytes */
    const char *part; /* "rows", "heads", ...: in the sentence that says what is wrong with it, */
    size_t block;     /* and of which block */
    void *room;       /* nc_block_room() bytes at a multiple of NC_BLOCK_ALIGNMENT */
    void *context;    /* the caller's */
    /* once it is done */
    const void *data; /* the bytes, in `room`, at a multiple of 64 */
    /* the reader's */
    int status;
    char *message;
    long got;
    struct nc_block_file *file;
    struct nc_block_read *next;
};

/* What a piece of `bytes` at `offset` needs: direct reads begin and end at multiples of the
 * alignment. */
size_t nc_block_room(uint64_t offset, size_t bytes);

struct nc_block_reader;

/* `depth`: reads under way at once (0: 32 with io_uring, 8 threads). One thread at a time uses a
 * reader. A value of NCLIP_READER that is none, or not to be had, is NC_USAGE. */
int nc_block_reader_create(size_t depth, struct nc_block_reader **reader);
const char *nc_block_reader_name(const struct nc_block_reader *reader); /* "io_uring", "threads" */

/* Queues a read; never waits. */
void nc_block_reader_start(struct nc_block_reader *reader, struct nc_block_read *read);

/* Waits for a read that is done, whichever is first: *read, or NULL where none is under way. The
 * status is the read's: NC_BAD_INPUT for a file that is not there, ends too early or has another
 * sum, NC_FAILED where the disk fails; the sentence names file and block. */
int nc_block_reader_next(struct nc_block_reader *reader, struct nc_block_read **read);

size_t nc_block_reader_pending(const struct nc_block_reader *reader); /* started, not handed back */
uint64_t nc_block_reader_bytes(const struct nc_block_reader *reader); /* read from files so far */

/* Drops what has not begun, waits for what has. NULL is allowed. */
void nc_block_reader_destroy(struct nc_block_reader *reader);

#endif
