/* Damaged pictures that were read all the same, and unreadable ones that were passed over: counted,
 * and the first of them named. */
#ifndef NCLIP_PICTURES_DAMAGE_H
#define NCLIP_PICTURES_DAMAGE_H

#include <stddef.h>

enum { NC_DAMAGE_NAMED = 3 };

/* {0} is empty. Not thread-safe: callers note pictures in their order. */
struct nc_damage {
    size_t count;
    char *named[NC_DAMAGE_NAMED]; /* "picture: what is wrong"; owned */
};

void nc_damage_note(struct nc_damage *damage, const char *picture, const char *what);
void nc_damage_free(struct nc_damage *damage); /* sets it to {0} */

/* One line on standard error, where there are any: "3 WHAT: a.png: a wrong checksum at byte 33;
 * ..., and 1 more". */
#define NC_DAMAGED_READ                                                                            \
    "damaged pictures were read as PIL reads them (--strict refuses them)"
void nc_damage_tell(const struct nc_damage *damage, const char *what);

#endif
