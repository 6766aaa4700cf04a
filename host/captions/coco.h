#ifndef NCLIP_HOST_CAPTIONS_COCO_H
#define NCLIP_HOST_CAPTIONS_COCO_H

#include "reader.h"

/* Reads all of COCO caption JSON into reader->captions. NC_BAD_INPUT names the file and the place
 * in it. */
int captions_read_coco(struct captions_reader *reader);

#endif
