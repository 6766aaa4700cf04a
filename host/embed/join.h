/* The end of a run over many sources: one list of what was skipped, one of what is damaged, and the
 * captions, of all sources in the order of their numbers. */
#ifndef NCLIP_HOST_EMBED_JOIN_H
#define NCLIP_HOST_EMBED_JOIN_H

#include "records.h"

/* Rank 0's, when every source of the call is complete. Fills the result's counts. */
int embed_join(const struct embed_job *job, const struct embed_list *list);

#endif
