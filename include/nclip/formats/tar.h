/* The members of a tar, one after the other: POSIX ustar and pax, GNU long names.
 *
 * A tar is a row of members; each is a header block of 512 bytes, then the content, padded to whole
 * blocks; two blocks of zeros end it. A header of type 'x' (pax) or 'L' (GNU) holds the long name
 * (and pax the size) of the member behind it. Source: POSIX.1-2017, pax; GNU tar's manual, "Tar
 * Internals".
 *
 * Several tars may stand behind each other, as `cat` leaves them. One without its end is refused:
 * nothing else tells a tar that was cut between two members from a whole one. */
#ifndef NCLIP_FORMATS_TAR_H
#define NCLIP_FORMATS_TAR_H

#include "nclip/formats/byte_stream.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { NC_TAR_BLOCK = 512 };

/* Is this the first block of a tar? */
bool nc_tar_recognize(const uint8_t block[NC_TAR_BLOCK]);

enum nc_tar_type {
    NC_TAR_FILE,
    NC_TAR_HARD_LINK,     /* to another member: `link` is its name */
    NC_TAR_SYMBOLIC_LINK, /* `link` is where it leads, from the member's folder */
    NC_TAR_SPARSE,        /* a file with holes, which is not read */
    NC_TAR_OTHER,         /* folders, devices, ... */
};

struct nc_tar_member {
    enum nc_tar_type type;
    const char *name; /* without a leading "./"; until the next member */
    const char *link; /* of links */
    uint64_t header;  /* where its header begins in the unpacked tar */
    uint64_t content; /* where its content begins */
    uint64_t size;    /* of the content */
};

struct nc_tar;

/* The stream, whose name messages use, stays the caller's. */
int nc_tar_open(struct nc_byte_stream *stream, struct nc_tar **tar);
void nc_tar_close(struct nc_tar *tar); /* NULL is allowed */

/* The next member; *more is false at the end. NC_BAD_INPUT names the file and the byte. */
int nc_tar_next(struct nc_tar *tar, struct nc_tar_member *member, bool *more);

/* Reads the content of the member at hand, once and whole: `size` bytes. */
int nc_tar_read(struct nc_tar *tar, void *content, size_t size);

uint64_t nc_tar_position(const struct nc_tar *tar); /* bytes read or passed over so far */

/* NC_BAD_INPUT with the sentence about a sparse member. */
int nc_tar_refuse_sparse(const char *path, const struct nc_tar_member *member);

/* A webdataset names the members of a sample alike up to the first dot of the file's name, and what
 * is behind says what the member is, in small letters whatever the tar has. False: the member
 * belongs to no sample (no dot, or a hidden file). `suffix` is cut to its room. */
enum { NC_TAR_SUFFIX = 16 };
bool nc_tar_sample(const char *name, size_t *key, char suffix[NC_TAR_SUFFIX]);

#endif
