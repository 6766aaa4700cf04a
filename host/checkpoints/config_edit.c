/* Copies a config of JSON with something replaced or put in, and nothing else: the text is edited,
 * not parsed and printed, for transformers tells 1 from 1.0. */
#include "staging.h"

#include "nclip/formats/text.h"
#include "nclip/support/error.h"
#include "nclip/support/files.h"

#include <stdio.h>
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

/* The next value of one of two keys, at any depth; NULL when there is none. */
static const char *next_value(const char *text, const char *key, const char *other)
{
    while ((text = strchr(text, '"'))) {
        const char *begin = text + 1, *end = skip_string(text);
        size_t length = (size_t)(end - begin) - (end > begin);
        text = skip_space(end);
        bool found = (length == strlen(key) && strncmp(begin, key, length) == 0) ||
                     (length == strlen(other) && strncmp(begin, other, length) == 0);
        if (*text == ':' && found)
            return skip_space(text + 1);
    }
    return NULL;
}

/* Writes the text as far as the brace that it holds, and a member behind it; *rest is what follows.
 */
static int put_in(struct nc_writer *writer, const char *text, const char *key, const char *value,
                  const char **rest)
{
    const char *brace = strchr(text, '{');
    size_t length = brace ? (size_t)(brace - text) + 1 : 0;
    *rest = text + length;
    int status = nc_writer_write(writer, text, length);
    bool empty = *skip_space(*rest) == '}';
    return status == NC_OK
               ? nc_writer_printf(writer, "\n  \"%s\": %s%s", key, value, empty ? "\n" : ",")
               : status;
}

struct edit {
    int (*apply)(struct nc_writer *writer, const char *text, const struct edit *edit);
    const char *object, *key; /* of a member more */
    const char *value;        /* JSON */
    bool needed;
};

/* `missing`: what stands for a file that is not there; NULL: there must be one. */
static int copy_edited(const char *from, const char *to, const char *missing,
                       const struct edit *edit)
{
    char *text = NULL;
    size_t size;
    struct nc_writer *writer;
    int status =
        missing && !nc_file_exists(from) ? NC_OK : nc_text_read(from, LARGEST_CONFIG, &text, &size);
    if (status != NC_OK)
        return status;
    status = nc_writer_create(to, &writer);
    if (status == NC_OK) {
        status = edit->apply(writer, text ? text : missing, edit);
        if (status == NC_OK)
            status = nc_writer_commit(writer);
        else
            nc_writer_abort(writer);
    }
    free(text);
    return status;
}

static int edit_dtype(struct nc_writer *writer, const char *text, const struct edit *edit)
{
    const char *value = next_value(text, "dtype", "torch_dtype");
    int status = NC_OK;
    if (!value && edit->needed) /* all versions read the older key */
        status = put_in(writer, text, "torch_dtype", edit->value, &text);
    for (; value && status == NC_OK; value = next_value(text, "dtype", "torch_dtype")) {
        status = nc_writer_write(writer, text, (size_t)(value - text));
        text = value;
        if (status == NC_OK && (*value == '"' || strncmp(value, "null", 4) == 0)) {
            status = nc_writer_printf(writer, "%s", edit->value);
            text = *value == '"' ? skip_string(value) : value + 4;
        }
    }
    return status == NC_OK ? nc_writer_write(writer, text, strlen(text)) : status;
}

int nc_config_copy_with_dtype(const char *from, const char *to, enum nc_type type, bool needed)
{
    char quoted[32];
    snprintf(quoted, sizeof quoted, "\"%s\"", nc_torch_type_name(type));
    return copy_edited(from, to, NULL,
                       &(struct edit){.apply = edit_dtype, .value = quoted, .needed = needed});
}

static int edit_member(struct nc_writer *writer, const char *text, const struct edit *edit)
{
    const char *begin = edit->object ? next_value(text, edit->object, edit->object) : text;
    int status = NC_OK;
    if (begin && *skip_space(begin) == '{') {
        status = nc_writer_write(writer, text, (size_t)(begin - text));
        if (status == NC_OK)
            status = put_in(writer, begin, edit->key, edit->value, &text);
    }
    return status == NC_OK ? nc_writer_write(writer, text, strlen(text)) : status;
}

int nc_config_copy_with_member(const char *from, const char *to, const char *object,
                               const char *key, const char *value)
{
    return copy_edited(
        from, to, "{}\n",
        &(struct edit){.apply = edit_member, .object = object, .key = key, .value = value});
}
