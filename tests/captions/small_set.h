/* A small prepared set: made of nothing but its numbers, so that a test knows what it holds. */
#ifndef NCLIP_TESTS_SMALL_SET_H
#define NCLIP_TESTS_SMALL_SET_H

#include "nclip/captions/set.h"

/* What is asked of a set. */
struct small_set {
    size_t rows, block_rows; /* of the store */
    size_t blocks_a_shard;
    size_t dimension;
    size_t vocabulary;
    bool distractors;
    unsigned roles;
};

/* Row r has r % 4 examples (none in each third block): example i of it has ordinal 4 * r + i, and
 * of each role but the caption (r + role + i) % 3 texts. */
size_t small_set_examples(const struct small_set *set, size_t row);
size_t small_set_texts(const struct small_set *set, size_t row, size_t example, unsigned role);
size_t small_set_length(size_t row, size_t example, size_t text);
int32_t small_set_token(const struct small_set *set, size_t row, size_t example, size_t text,
                        size_t token);
uint64_t small_set_distractor(const struct small_set *set, size_t row, size_t example);

/* Writes it; false: see nc_error_message(). */
bool small_set_write(const char *folder, const struct small_set *set);

#endif
