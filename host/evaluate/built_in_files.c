/* Finds the benchmarks' texts that are compiled in. */
#include "built_in_files.h"

#include "built_in.h"
#include "nclip/formats/text.h"
#include "nclip/support/error.h"
#include "nclip/support/files.h"

#include <stdlib.h>
#include <string.h>

enum { LARGEST = 1 << 28 };

const char *built_in_text(const char *name)
{
    for (size_t i = 0; nc_benchmark_file_names[i]; i++)
        if (strcmp(nc_benchmark_file_names[i], name) == 0)
            return nc_benchmark_file_texts[i];
    return NULL;
}

int built_in_fields(const char *path, size_t least, size_t most, struct nc_fields *fields)
{
    const char *built_in = nc_file_exists(path) ? NULL : built_in_text(path);
    char *text;
    size_t size;
    *fields = (struct nc_fields){0};
    if (!built_in) {
        int status = nc_text_read(path, LARGEST, &text, &size);
        return status == NC_OK ? nc_fields_split(path, text, size, least, most, fields) : status;
    }
    text = strdup(built_in);
    return text ? nc_fields_split(path, text, strlen(text), least, most, fields)
                : nc_error(NC_FAILED, "%s: no memory", path);
}
