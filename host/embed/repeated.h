/* Keys that several sources have. */
#ifndef NCLIP_HOST_EMBED_REPEATED_H
#define NCLIP_HOST_EMBED_REPEATED_H

#include "records.h"

#define EMBED_REPEATED ".repeated" /* of a source: lines as in skipped.jsonl */

/* Of rows with one key the first stays; the others leave their shards and are noted with their
 * source. Then the store's index is made. In the end the store is the same, whoever embedded what,
 * and whatever was interrupted. *rows: of the store. */
int embed_settle_keys(const struct embed_job *job, const struct embed_list *list, size_t *rows);

#endif
