/* Bytes of a file or standard input, one after the other, unpacked on the way.
 *
 * gzip and zstd are known by their first bytes; both may hold several members or frames one behind
 * the other. Memory does not depend on the size. Damaged and cut-off files are NC_BAD_INPUT and
 * name the byte (of the packed file) where they stopped making sense.
 */
#ifndef NCLIP_FORMATS_BYTE_STREAM_H
#define NCLIP_FORMATS_BYTE_STREAM_H

#include <stddef.h>
#include <stdint.h>

struct nc_byte_stream;

int nc_byte_stream_open(const char *path, struct nc_byte_stream **stream); /* "-": standard input */
void nc_byte_stream_close(struct nc_byte_stream *stream);                  /* NULL is allowed */

/* Fills the buffer; *got is less than `size` only at the end. */
int nc_byte_stream_read(struct nc_byte_stream *stream, void *buffer, size_t size, size_t *got);

/* Passes over `size` bytes; NC_BAD_INPUT when there are fewer. */
int nc_byte_stream_skip(struct nc_byte_stream *stream, uint64_t size);

const char *nc_byte_stream_name(const struct nc_byte_stream *stream); /* for messages */
uint64_t
nc_byte_stream_consumed(const struct nc_byte_stream *stream); /* bytes of the packed file */

#endif
