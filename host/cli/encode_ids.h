/* Captions that are token ids, for nclip encode --ids. */
#ifndef NCLIP_HOST_CLI_ENCODE_IDS_H
#define NCLIP_HOST_CLI_ENCODE_IDS_H

#include "nclip/encoder/encoder.h"

/* Reads one JSON array of ids a line ("-": standard input; lines of blanks alone are an error, so
 * that row i stays line i) and writes the features as [lines, embedding]. */
int encode_ids(struct nc_encoder *encoder, const char *path, size_t embedding, bool raw,
               const char *out);

#endif
