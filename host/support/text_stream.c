#include "nclip/support/text_stream.h"

#include <errno.h>
#include <stdlib.h>

void nc_text_stream_open(struct nc_text_stream *stream)
{
    *stream = (struct nc_text_stream){0};
    errno = 0;
    stream->file = open_memstream(&stream->text, &stream->size);
}

char *nc_text_stream_close(struct nc_text_stream *stream)
{
    bool failed = !stream->file || ferror(stream->file) || errno == ENOMEM;
    failed |= stream->file && fclose(stream->file) != 0;
    failed |= errno == ENOMEM;
    char *text = stream->text;
    *stream = (struct nc_text_stream){0};
    if (failed) {
        free(text);
        text = NULL;
        errno = ENOMEM;
    }
    return text;
}
