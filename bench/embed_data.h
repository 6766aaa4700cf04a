/* What nclip-bench embed works on: a webdataset of generated photographs, and a model with random
 * parameters. Speed does not depend on what they show. */
#ifndef NCLIP_BENCH_EMBED_DATA_H
#define NCLIP_BENCH_EMBED_DATA_H

#include <stddef.h>

enum { EMBED_WIDTH = 640, EMBED_HEIGHT = 480, EMBED_QUALITY = 90 };

/* Writes `count` JPEGs of 640 x 480 as FOLDER/pictures/000000.jpg, ... and into
 * FOLDER/pictures.tar, each with a caption. Smooth colors, edges and noise: about 60 kB each, as
 * photographs have at that quality. Those of an earlier run are kept where there are as many. */
int embed_data_pictures(const char *folder, size_t count);

extern const char *const embed_data_shapes[]; /* vision towers, ending with NULL */

/* Writes a Hugging Face folder of that vision tower, with a text tower of one small layer. */
int embed_data_model(const char *folder, const char *shape);

#endif
