/* The blocks of a tar: POSIX ustar and pax, GNU long names.
 *
 * A tar is a row of members; each is a header block of 512 bytes, then the content,
 * padded to whole blocks. A header of type 'x' (pax) or 'L' (GNU) holds the long name
 * (and pax the size) of the member behind it. Source: POSIX.1-2017, pax. */
#ifndef NCLIP_FORMATS_TAR_H
#define NCLIP_FORMATS_TAR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { NC_TAR_BLOCK = 512, NC_TAR_EXTENSION_LIMIT = 1 << 20 };

/* What extension headers say of the member behind them. */
struct nc_tar_next {
    char *name; /* owned; NULL: in the member's own header */
    bool has_size;
    uint64_t size;
};

/* Is this the first block of a tar? */
bool nc_tar_recognize(const uint8_t block[NC_TAR_BLOCK]);
/* All zeros: the end. */
bool nc_tar_is_end(const uint8_t block[NC_TAR_BLOCK]);

/* False when it is no member's header. An extension is about the member that follows. */
struct nc_tar_header {
    uint64_t size; /* of the content */
    char type;
    bool extension;
};
bool nc_tar_header_read(const uint8_t block[NC_TAR_BLOCK], const struct nc_tar_next *next,
                        struct nc_tar_header *header);

/* The content of an extension of type 'x' or 'L', `text` with a zero behind it: goes into *next.
 * False when it is wrong (or without memory). */
bool nc_tar_extension_read(char type, const char *text, size_t size, struct nc_tar_next *next);

enum { NC_TAR_NAME = 257 }; /* bytes of a name in a header, with its zero */

/* The member's name without a leading "./": in `joined`, or next->name. */
const char *nc_tar_member_name(const uint8_t block[NC_TAR_BLOCK], const struct nc_tar_next *next,
                               char joined[NC_TAR_NAME]);

#endif
