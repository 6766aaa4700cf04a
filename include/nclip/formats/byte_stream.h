/* Bytes of a file or standard input, one after the other, unpacked on the way.
 *
 * gzip and zstd are known by their first bytes; both may hold several members or frames one behind
 * the other, zstd also frames without data, gzip zeros behind the last. Anything else behind the
 * last is refused, and so are other packings (xz, bzip2, lz4), by name. Memory does not depend on
 * the size. Damaged and cut-off files are NC_BAD_INPUT and name the byte (of the packed file) where
 * they stopped making sense.
 */
#ifndef NCLIP_FORMATS_BYTE_STREAM_H
#define NCLIP_FORMATS_BYTE_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct nc_byte_stream;

int nc_byte_stream_open(const char *path, struct nc_byte_stream **stream); /* "-": standard input */
void nc_byte_stream_close(struct nc_byte_stream *stream);                  /* NULL is allowed */

/* The first bytes, unpacked, that stay to be read: at most NC_KIND_HEAD (nclip/formats/kind.h), and
 * *whole says that there are no others. They are valid, and may be asked for again, until the first read or skip. */
int nc_byte_stream_peek(struct nc_byte_stream *stream, const void **head, size_t *size,
                        bool *whole);

/* Fills the buffer; *got is less than `size` only at the end. */
int nc_byte_stream_read(struct nc_byte_stream *stream, void *buffer, size_t size, size_t *got);

/* Passes over `size` bytes; NC_BAD_INPUT when there are fewer. */
int nc_byte_stream_skip(struct nc_byte_stream *stream, uint64_t size);

bool nc_byte_stream_packed(const struct nc_byte_stream *stream);
size_t nc_byte_stream_size(const struct nc_byte_stream *stream); /* as packed; 0: not known */
const char *nc_byte_stream_name(const struct nc_byte_stream *stream); /* for messages */
uint64_t
nc_byte_stream_consumed(const struct nc_byte_stream *stream); /* bytes of the packed file */

#endif
