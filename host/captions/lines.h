#ifndef NCLIP_HOST_CAPTIONS_LINES_H
#define NCLIP_HOST_CAPTIONS_LINES_H

#include "reader.h"

/* Reads all lines of JSONL into reader->captions. NC_BAD_INPUT names the file and the line. */
int captions_read_lines(struct captions_reader *reader);

#endif
