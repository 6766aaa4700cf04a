/* Copies a config.json with the type of the weights replaced in it, and nothing else. */
#include "staging.h"

#include "nclip/formats/text.h"
#include "nclip/support/error.h"
#include "nclip/support/files.h"

#include <stdlib.h>
#include <string.h>

enum { LARGEST_CONFIG = 1 << 26 };

const char *nc_torch_type_name(enum nc_type type)
{
    return type == NC_FLOAT32 ? "float32" : type == NC_BFLOAT16 ? "bfloat16" : "float16";
}

static const char *skip_space(const char *text)
{
    return text + strspn(text, " \t\r\n");
}

/* Behind the closing quote of the string that starts at `text`. */
static const char *skip_string(const char *text)
{
    for (text++; *text && *text != '"'; text++)
        text += *text == '\\' && text[1];
    return *text ? text + 1 : text;
}

/* The next value of a key "dtype" or "torch_dtype", at any depth; NULL when there is none. */
static const char *next_dtype(const char *text)
{
    while ((text = strchr(text, '"'))) {
        const char *key = text, *end = skip_string(text);
        text = skip_space(end);
        bool found = (end - key == 7 && strncmp(key, "\"dtype\"", 7) == 0) ||
                     (end - key == 13 && strncmp(key, "\"torch_dtype\"", 13) == 0);
        if (*text == ':' && found)
            return skip_space(text + 1);
    }
    return NULL;
}

/* The text is edited, not parsed and printed: transformers tells 1 from 1.0. */
static int edit_config(struct nc_writer *writer, const char *text, const char *name, bool needed)
{
    const char *value = next_dtype(text);
    int status = NC_OK;
    if (!value && needed) { /* all versions read the older key */
        const char *brace = strchr(text, '{');
        size_t length = brace ? (size_t)(brace - text) + 1 : 0;
        status = nc_writer_write(writer, text, length);
        text += length;
        bool empty = *skip_space(text) == '}';
        if (status == NC_OK)
            status =
                nc_writer_printf(writer, "\n  \"torch_dtype\": \"%s\"%s", name, empty ? "\n" : ",");
    }
    for (; value && status == NC_OK; value = next_dtype(text)) {
        status = nc_writer_write(writer, text, (size_t)(value - text));
        text = value;
        if (status == NC_OK && (*value == '"' || strncmp(value, "null", 4) == 0)) {
            status = nc_writer_printf(writer, "\"%s\"", name);
            text = *value == '"' ? skip_string(value) : value + 4;
        }
    }
    return status == NC_OK ? nc_writer_write(writer, text, strlen(text)) : status;
}

int nc_config_copy_with_dtype(const char *from, const char *to, enum nc_type type, bool needed)
{
    char *text;
    size_t size;
    struct nc_writer *writer;
    int status = nc_text_read(from, LARGEST_CONFIG, &text, &size);
    if (status != NC_OK)
        return status;
    status = nc_writer_create(to, &writer);
    if (status == NC_OK) {
        status = edit_config(writer, text, nc_torch_type_name(type), needed);
        if (status == NC_OK)
            status = nc_writer_commit(writer);
        else
            nc_writer_abort(writer);
    }
    free(text);
    return status;
}
