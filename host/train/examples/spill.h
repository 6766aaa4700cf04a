/* The file between the passes of preparing a set: examples as they come, by ranges of rows
 * ("buckets").
 *
 * "spill" holds chunks, each of records of one bucket end to end; "chunks" says which: it is read
 * when all is there. Two files that only grow, so that a state is two sizes: what a killed call
 * wrote behind them is cut off. */
#ifndef NCLIP_HOST_TRAIN_EXAMPLES_SPILL_H
#define NCLIP_HOST_TRAIN_EXAMPLES_SPILL_H

#include "nclip/captions/set.h"

/* An example. Behind it uint16 lengths[texts], then the ids, uint16 or uint32, up to a multiple
 * of 8. */
struct spill_record {
    uint64_t row, ordinal;
    uint64_t distractor; /* row, or NC_SET_NO_ROW */
    uint32_t bytes;      /* of all of it */
    uint16_t texts, bucket;
    uint32_t tokens;
    uint8_t counts[NC_TEXT_ROLES]; /* texts of each role */
};

enum { SPILL_BUCKETS = 1024 /* at most */ };

struct spill_size {
    uint64_t bytes, chunks;
};

struct prepare_spill;

/* Opens the files in `folder` and cuts them to `size`; NC_FAILED when they are shorter. */
int spill_open(const char *folder, size_t buckets, const struct spill_size *size,
               struct prepare_spill **spill);
void spill_close(struct prepare_spill *spill); /* NULL is allowed */

/* Appends records (each with its bucket) that lie end to end. */
int spill_append(struct prepare_spill *spill, const void *records, size_t bytes);
/* All that was appended is on the disk. */
int spill_sync(struct prepare_spill *spill, struct spill_size *size);

/* ---- when all is there ---- */

int spill_index(struct prepare_spill *spill);
uint64_t spill_bucket_bytes(const struct prepare_spill *spill, size_t bucket);

/* Calls `take` for each record of buckets first .. end - 1: bucket after bucket, in the order in
 * which they were appended. */
typedef int (*spill_take)(void *context, const struct spill_record *record);
int spill_read(struct prepare_spill *spill, size_t first, size_t end, spill_take take,
               void *context);
/* Gives the disk back what they take, where the file system can. */
void spill_drop(struct prepare_spill *spill, size_t first, size_t end);

#endif
