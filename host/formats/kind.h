/* Tells the kinds of texts apart (text_kind.c), for files without a signature (kind.c). */
#ifndef NCLIP_HOST_FORMATS_KIND_H
#define NCLIP_HOST_FORMATS_KIND_H

#include "nclip/formats/kind.h"

/* The kind of bytes without a signature. */
enum nc_kind nc_text_kind(const char *head, size_t size, bool whole);

#endif
