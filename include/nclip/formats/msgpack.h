/* The pieces of msgpack that heads of files are made of, read from hostile bytes.
 *
 * By hand, and without memory of its own: msgpack-c allocates whatever size an array states before
 * it looks whether the bytes are there. Each function reads one piece at in->at; false when another
 * is there, or fewer bytes than it needs. */
#ifndef NCLIP_FORMATS_MSGPACK_H
#define NCLIP_FORMATS_MSGPACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct nc_msgpack {
    const uint8_t *at, *end;
    bool ended; /* more was asked for than there is */
};

struct nc_msgpack_text { /* not terminated */
    const char *data;
    size_t size;
};

bool nc_msgpack_number(struct nc_msgpack *in, uint64_t *value);
bool nc_msgpack_text(struct nc_msgpack *in, struct nc_msgpack_text *text);
bool nc_msgpack_bool(struct nc_msgpack *in, bool *value);
bool nc_msgpack_map(struct nc_msgpack *in, uint64_t *count);   /* its pairs follow */
bool nc_msgpack_array(struct nc_msgpack *in, uint64_t *count); /* its elements follow */

bool nc_msgpack_is(const struct nc_msgpack_text *text, const char *other);

#endif
