/* Where pictures come from: a folder, a list, a webdataset tar, or one picture.
 *
 * A source is a list of (key, bytes) that is fixed when it is opened. Index i
 * always means the same picture: a picture that cannot be read or decoded is the
 * caller's to skip and never shifts the others.
 */
#ifndef NCLIP_PICTURES_SOURCE_H
#define NCLIP_PICTURES_SOURCE_H

#include "nclip/pictures/image.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct nc_image_source;

/* What `path` is decides:
 *
 * - a folder: the files below it whose names end as pictures do (.jpg, .png, ..., in
 *   any case; also kinds that nc_image_decode() refuses, so that they are reported
 *   and not forgotten), sorted by the bytes of their path. Key: the path relative to
 *   the folder, with '/'. Names that start with a dot are left out; links are followed.
 * - a tar (nclip/formats/tar.h; not compressed): its members with such names, in the order of
 *   the file; links have the content of the member that they lead to. Key: the member's name,
 *   without a leading "./". A name that is absolute or has ".." in it, and a sparse member, are
 *   NC_BAD_INPUT.
 * - a picture (by its first bytes, or by its name: the decoder then says what it is instead):
 *   itself. Key: the file's name without its folder.
 * - other texts, and "-" (standard input): a list, one path a line; empty lines are
 *   left out. Files of other kinds are NC_BAD_INPUT, by name. Relative paths start at the list's own folder ("-": the current one).
 *   Key: the line as written.
 *
 * Keys are unique in a folder; a list or a tar may repeat one. NC_BAD_INPUT when
 * there is no picture at all, when the tar is damaged (naming the byte), or when a
 * list is not text. */
int nc_image_source_open(const char *path, struct nc_image_source **source);
void nc_image_source_close(struct nc_image_source *source); /* NULL is allowed */

size_t nc_image_source_count(const struct nc_image_source *source);

/* Valid until close. */
const char *nc_image_source_key(const struct nc_image_source *source, size_t index);

/* The index of a key (the first one of a repeated key); false when absent. */
bool nc_image_source_find(const struct nc_image_source *source, const char *key, size_t *index);

/* Reads the file of picture `index`; the caller frees *bytes. Any number of
 * threads may read at once. NC_BAD_INPUT, naming the file, when it is missing,
 * unreadable or larger than NC_IMAGE_MAX_BYTES. */
int nc_image_source_read(const struct nc_image_source *source, size_t index, uint8_t **bytes,
                         size_t *size);

/* Reads, decodes and preprocesses picture `index`: what nc_image_preprocess() makes of all of
 * it; `damage` is nc_image's. Messages name the picture. As thread-safe as reading. */
int nc_image_source_preprocess(const struct nc_image_source *source, size_t index,
                               const struct nc_preprocess *preprocess, float *out,
                               char damage[NC_IMAGE_DAMAGE]);

/* The same of bytes that nc_image_source_read() has read. */
int nc_image_source_decode(const struct nc_image_source *source, size_t index, const uint8_t *bytes,
                           size_t size, const struct nc_preprocess *preprocess, float *out,
                           char damage[NC_IMAGE_DAMAGE]);

#endif
