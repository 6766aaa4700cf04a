/* The parts of preparing a set:
 *
 *   prepare.c    the call: opens, begins or goes on, finishes
 *   join.c       the first pass: records become examples, which go to the spill
 *   spill.c      the file between the passes
 *   ranges.c     the second pass: ranges of examples become shards
 *   state.c      what a later call needs to go on
 */
#ifndef NCLIP_HOST_TRAIN_EXAMPLES_PREPARE_H
#define NCLIP_HOST_TRAIN_EXAMPLES_PREPARE_H

#include "nclip/captions/set.h"
#include "nclip/checkpoints/folder.h"
#include "nclip/store/store.h"
#include "nclip/train/prepare.h"
#include "spill.h"

/* Why something is missing in the set: first the examples that are, then the parts of examples. */
enum prepare_reason {
    PREPARE_MALFORMED,
    PREPARE_PICTURE_MISSING,
    PREPARE_TOO_LONG, /* and one for each role, in their order */
    PREPARE_DISTRACTOR_MISSING = PREPARE_TOO_LONG + NC_TEXT_ROLES,
    PREPARE_REASONS,
    PREPARE_FIRST_TEXT = 256 /* bytes that are kept of the first of each */
};

/* What was counted so far. */
struct prepare_counts {
    uint64_t examples, texts, tokens, distractors, truncated, negation_lost;
    uint64_t longest_text, longest_example;
    uint64_t pictures, largest_block; /* by the second pass */
    unsigned roles;
    struct prepare_left_out {
        uint64_t count;
        char first[PREPARE_FIRST_TEXT];
    } left_out[PREPARE_REASONS];
};

/* Where the work stands; state.json holds it. */
struct prepare_state {
    uint64_t records, hash; /* of the stream: read and joined, and of their text */
    struct spill_size spill;
    bool joined;                   /* the second pass has begun */
    uint64_t next_block, shards;   /* of the second pass */
    struct prepare_counts counts;
};

/* A call. */
struct prepare {
    const struct nc_prepare_options *options;
    struct nc_prepare_result *result;
    struct nc_model *model;
    const struct nc_model_shape *shape;
    struct nc_tokenizer *tokenizer;
    struct nc_embedding_store *store;
    char *store_path, *work; /* from the root; the folder OUT/NC_SET_WORK */
    struct nc_set_info info; /* what the set will say, but for the counts */
    uint64_t *source_bytes;
    struct prepare_spill *spill;
    struct prepare_state state;
    double saved; /* when the state was, last */
};

const char *prepare_reason_name(enum prepare_reason reason);

/* join.c */
int prepare_join(struct prepare *p);

/* ranges.c */
int prepare_write_ranges(struct prepare *p);

/* state.c */
int prepare_save(struct prepare *p); /* syncs the spill first */
/* False: there is none that can be read. A state of another call is refused. */
int prepare_load(struct prepare *p, bool *found);

#endif
