/* A text in the making: open_memstream(), whose running out of memory shows. */
#ifndef NCLIP_SUPPORT_TEXT_STREAM_H
#define NCLIP_SUPPORT_TEXT_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

struct nc_text_stream {
    FILE *file; /* NULL without memory */
    char *text;
    size_t size;
};

void nc_text_stream_open(struct nc_text_stream *stream);

/* Closes it. The text, for free(); NULL when it is not complete for want of memory: its streams
 * report that neither when they are written to nor when they are closed, but by errno. */
char *nc_text_stream_close(struct nc_text_stream *stream);

#endif
