/* How long a benchmark's captions are, in tokens with start and end: speed depends on that, and on
 * nothing else that captions say. */
#ifndef NCLIP_BENCH_LENGTHS_H
#define NCLIP_BENCH_LENGTHS_H

#include "nclip/tokenizer/tokenizer.h"

#include <stdint.h>

struct lengths {
    uint64_t captions[NC_CLIP_CONTEXT + 1]; /* how many have so many tokens */
    uint64_t all;
};

/* `name`: "plain" (also NULL), as people describe photographs; "negated", the same with what is
 * absent behind it; or a file. A .json or .jsonl has captions (COCO JSON or JSONL), which
 * `tokenizer` (a CLIP folder or tokenizer file) cuts; any other has lines of a length and how many
 * captions have it ("13 175"), # begins a remark. */
int lengths_named(const char *name, const char *tokenizer, struct lengths *lengths);

/* 2 .. NC_CLIP_CONTEXT. `state` as in host/train/examples/random.h. */
size_t lengths_draw(const struct lengths *lengths, uint64_t *state);

#endif
