/* What a server's refusal says about the members of a request: which one it means, and what it
 * wants instead. Only its own words count; there is no list of servers. */
#ifndef NCLIP_HOST_CHAT_REFUSAL_H
#define NCLIP_HOST_CHAT_REFUSAL_H

#include "parts.h"

/* Fills kind, name, to, least and most of the change. `sent` is the body that was refused, with
 * `room` added to its limit on tokens. */
enum chat_lesson chat_refusal_read(cJSON *sent, size_t room, const struct chat_complaint *complaint,
                                   struct chat_change *change);

/* The numbers that a sentence allows, least .. most, of what it calls by `name`: "must be strictly
 * positive", "only 1 is allowed", "(0, 1]", ">= 16". An open end is moved by `step`. False: it
 * speaks of none. */
bool chat_refusal_bounds(const char *sentence, double step, double *least, double *most);

#endif
