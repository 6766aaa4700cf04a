#include "folder.h"

#include "nclip/error.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    CHUNK = 1 << 18, /* elements converted, or fours of bytes copied, at a time */
    LARGEST_CONFIG = 1 << 26,
};

/* What a CLIP folder holds beside the weights and config.json. */
static const char *const companions[] = {
    "vocab.json",
    "merges.txt",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "bpe_simple_vocab_16e6.txt.gz",
    "preprocessor_config.json",
    "processor_config.json",
};

/* The tensor's row when its bytes come from `text_parameters`, else NULL. */
static const struct nc_parameter *text_row(const struct nc_model *model,
                                           const struct nc_safetensor *tensor)
{
    for (size_t i = 0; i < model->table.count; i++) {
        if (model->table.rows[i].tower == NC_TOWER_TEXT && model->sources[i] == tensor)
            return &model->table.rows[i];
    }
    return NULL;
}

static int write_converted(const char *path, struct nc_safetensors_writer *writer,
                           const struct nc_parameter *row, const float *values, enum nc_type type,
                           float *converted, float *back)
{
    for (size_t start = 0; start < row->count; start += CHUNK) {
        size_t count = row->count - start < CHUNK ? row->count - start : CHUNK;
        nc_convert(converted, type, values + start, NC_FLOAT32, count);
        nc_convert(back, NC_FLOAT32, converted, type, count);
        size_t bad = nc_first_non_finite(back, count);
        if (bad < count)
            return nc_error(NC_FAILED,
                            "%s: tensor \"%s\" has the value %g at element %zu, which "
                            "%s cannot hold",
                            path, row->name, (double)values[start + bad], start + bad,
                            nc_type_name(type));
        int status = nc_safetensors_writer_data(writer, converted, count * nc_type_size(type));
        if (status != NC_OK)
            return status;
    }
    return NC_OK;
}

static int write_copied(const struct nc_model *model, struct nc_safetensors_writer *writer,
                        const struct nc_safetensor *tensor)
{
    int status = NC_OK;
    for (size_t start = 0; start < tensor->bytes && status == NC_OK; start += 4 * CHUNK) {
        size_t size = tensor->bytes - start < 4 * CHUNK ? tensor->bytes - start : 4 * CHUNK;
        status = nc_safetensors_writer_data(writer, tensor->data + start, size);
        nc_safetensors_release(model->file, tensor, start, size);
    }
    return status;
}

static const char *type_name_out(const struct nc_model *model, const struct nc_safetensor *tensor,
                                 enum nc_type type)
{
    return text_row(model, tensor) ? nc_safetensors_type_name(type) : tensor->type_name;
}

/* Indices of the tensors in the order of writing: that of the source, but wider
 * types first, so that each lies at a multiple of its own size. */
static size_t *writing_order(const struct nc_model *model, enum nc_type type)
{
    size_t count = nc_safetensors_count(model->file), placed = 0;
    size_t *order = malloc((count + 1) * sizeof *order);
    for (size_t size = 8; order && size; size /= 2) {
        for (size_t i = 0; i < count; i++) {
            const struct nc_safetensor *tensor = nc_safetensors_at(model->file, i);
            if (nc_safetensors_type_size(type_name_out(model, tensor, type)) == size)
                order[placed++] = i;
        }
    }
    return order;
}

static int write_tensors(const struct nc_model *model, const char *path,
                         const float *text_parameters, enum nc_type type)
{
    size_t count = nc_safetensors_count(model->file);
    size_t *order = writing_order(model, type);
    float *converted = malloc(CHUNK * sizeof *converted), *back = malloc(CHUNK * sizeof *back);
    struct nc_safetensors_writer *writer = NULL;
    int status = order && converted && back ? nc_safetensors_writer_create(path, "pt", &writer)
                                            : nc_error(NC_FAILED, "%s: no memory", path);
    for (size_t i = 0; i < count && status == NC_OK; i++) {
        const struct nc_safetensor *tensor = nc_safetensors_at(model->file, order[i]);
        status = nc_safetensors_writer_declare(
            writer, tensor->name, type_name_out(model, tensor, type), tensor->rank, tensor->shape);
    }
    for (size_t i = 0; i < count && status == NC_OK; i++) {
        const struct nc_safetensor *tensor = nc_safetensors_at(model->file, order[i]);
        const struct nc_parameter *row = text_row(model, tensor);
        status = row ? write_converted(path, writer, row, text_parameters + row->offset, type,
                                       converted, back)
                     : write_copied(model, writer, tensor);
    }
    if (status == NC_OK)
        status = nc_safetensors_writer_commit(writer);
    else
        nc_safetensors_writer_abort(writer);
    free(converted);
    free(back);
    free(order);
    return status;
}

static int copy_file(const char *from, const char *to)
{
    struct nc_mapping mapping;
    int status = nc_file_map(from, &mapping);
    if (status == NC_OK)
        status = nc_file_write(to, mapping.data, mapping.size);
    nc_file_unmap(&mapping);
    return status;
}

static const char *torch_name(enum nc_type type)
{
    return type == NC_FLOAT32 ? "float32" : type == NC_BFLOAT16 ? "bfloat16" : "float16";
}

/* Whether any row of the tower has another type than `type` in the source. */
static bool tower_differs(const struct nc_model *model, enum nc_tower tower, enum nc_type type)
{
    for (size_t i = 0; i < model->table.count; i++) {
        if (model->table.rows[i].tower == tower && model->sources[i]->type != (int)type)
            return true;
    }
    return false;
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

/* transformers turns all weights into the type that config.json names ("dtype", in
 * older versions "torch_dtype"): a stale one would round the new weights away. The
 * text is edited, not parsed and printed: transformers tells 1 from 1.0. */
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

static int write_config(const struct nc_model *model, const char *from, const char *to,
                        enum nc_type type)
{
    if (!tower_differs(model, NC_TOWER_TEXT, type))
        return copy_file(from, to);
    bool mixed = tower_differs(model, NC_TOWER_VISION, type);

    char *text;
    size_t size;
    struct nc_writer *writer;
    int status = nc_file_read(from, LARGEST_CONFIG, &text, &size);
    if (status != NC_OK)
        return status;
    status = nc_writer_create(to, &writer);
    if (status == NC_OK) {
        status = edit_config(writer, text, torch_name(mixed ? NC_FLOAT32 : type), mixed);
        if (status == NC_OK)
            status = nc_writer_commit(writer);
        else
            nc_writer_abort(writer);
    }
    free(text);
    return status;
}

static int write_file(const struct nc_model *model, const char *staged, const char *name,
                      const float *text_parameters, enum nc_type type)
{
    char *from = nc_path_join(model->folder, name), *to = nc_path_join(staged, name);
    int status = NC_OK;
    if (!from || !to)
        status = nc_error(NC_FAILED, "%s: no memory", staged);
    else if (strcmp(name, "model.safetensors") == 0)
        status = write_tensors(model, to, text_parameters, type);
    else if (strcmp(name, "config.json") == 0)
        status = write_config(model, from, to, type);
    else if (nc_file_exists(from))
        status = copy_file(from, to);
    free(from);
    free(to);
    return status;
}

static int check_free(const char *folder)
{
    DIR *directory = opendir(folder);
    if (!directory)
        return access(folder, F_OK) == 0
                   ? nc_error(NC_USAGE, "%s: exists and is not an empty folder", folder)
                   : NC_OK;
    size_t entries = 0;
    while (readdir(directory))
        entries++;
    closedir(directory);
    return entries <= 2 ? NC_OK /* "." and ".." */
                        : nc_error(NC_USAGE, "%s: exists and is not empty", folder);
}

int nc_model_save(const struct nc_model *model, const char *folder, const float *text_parameters,
                  enum nc_type type)
{
    size_t length = strlen(folder);
    while (length > 1 && folder[length - 1] == '/')
        length--;
    int status = check_free(folder);
    if (status != NC_OK)
        return status;
    char *staged = NULL, *final = strndup(folder, length);
    if (!final || asprintf(&staged, "%s.partial-%ld", final, (long)getpid()) < 0) {
        free(final);
        return nc_error(NC_FAILED, "%s: no memory", folder);
    }
    status = nc_folder_remove(staged);
    if (status == NC_OK)
        status = nc_folder_create(staged);
    if (status == NC_OK)
        status = write_file(model, staged, "model.safetensors", text_parameters, type);
    if (status == NC_OK)
        status = write_file(model, staged, "config.json", NULL, type);
    for (size_t i = 0; i < sizeof companions / sizeof companions[0] && status == NC_OK; i++)
        status = write_file(model, staged, companions[i], NULL, type);
    if (status == NC_OK)
        status = nc_folder_publish(staged, final);
    if (status != NC_OK) {
        char message[2048]; /* removing must not replace what went wrong */
        snprintf(message, sizeof message, "%s", nc_error_message());
        (void)nc_folder_remove(staged);
        nc_error(status, "%s", message);
    }
    free(staged);
    free(final);
    return status;
}
