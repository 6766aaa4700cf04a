/* A store of many small shards, captions of its pictures, and the set prepared of both. */
#ifndef TESTS_TRAIN_STREAM_INPUTS_H
#define TESTS_TRAIN_STREAM_INPUTS_H

#include <stddef.h>

struct stream_inputs {
    const char *folder; /* gets "store", "captions.jsonl" and "set" */
    const char *model;
    size_t shards, shard_rows; /* a shard is a block here */
    size_t captions;           /* of a picture, 1 to this many; every third with a contradiction */
    int distractors;           /* and a distractor, then all have both */
};

/* Fails the test where something fails. */
void stream_inputs_make(const struct stream_inputs *inputs);

#endif
