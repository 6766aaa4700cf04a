/* Reads and writes .npy files. The header is a Python dictionary:
 *
 *     {'descr': '<f4', 'fortran_order': False, 'shape': (3, 768), }
 */
#include "nclip/formats/npy.h"

#include "nclip/formats/kind.h"
#include "nclip/support/error.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static const uint8_t magic[] = {0x93, 'N', 'U', 'M', 'P', 'Y'};
enum { HEADER_BYTES = 128, HEADER_LIMIT = 1 << 16 };

/* ---- reading ---------------------------------------------------------------------------------- */

struct input {
    const char *at, *end;
};

static void pass_blanks(struct input *in)
{
    while (in->at < in->end && (*in->at == ' ' || *in->at == '\n' || *in->at == '\t'))
        in->at++;
}

static bool take(struct input *in, const char *text)
{
    size_t length = strlen(text);
    pass_blanks(in);
    if ((size_t)(in->end - in->at) < length || memcmp(in->at, text, length) != 0)
        return false;
    in->at += length;
    return true;
}

/* 'descr' or "descr", which must be shorter than NAME_BYTES. */
enum { NAME_BYTES = 32 };
static bool take_string(struct input *in, char name[NAME_BYTES])
{
    char quote = take(in, "'") ? '\'' : take(in, "\"") ? '"' : 0;
    const char *end = quote ? memchr(in->at, quote, (size_t)(in->end - in->at)) : NULL;
    if (!end || end - in->at >= NAME_BYTES)
        return false;
    memcpy(name, in->at, (size_t)(end - in->at));
    name[end - in->at] = 0;
    in->at = end + 1;
    return true;
}

static bool take_number(struct input *in, size_t *number)
{
    pass_blanks(in);
    const char *start = in->at;
    for (*number = 0; in->at < in->end && *in->at >= '0' && *in->at <= '9'; in->at++) {
        size_t digit = (size_t)(*in->at - '0');
        if (*number > (SIZE_MAX - digit) / 10)
            return false;
        *number = *number * 10 + digit;
    }
    (void)take(in, "L"); /* as Python 2 wrote it */
    return in->at > start;
}

struct header {
    char type[NAME_BYTES];
    bool has_type, has_order, has_shape, fortran;
    size_t dimensions, shape[2]; /* of more dimensions the first two */
};

static bool take_shape(struct input *in, struct header *h)
{
    size_t size;
    if (!take(in, "("))
        return false;
    for (h->dimensions = 0; !take(in, ")"); h->dimensions++) {
        if (!take_number(in, &size))
            return false;
        if (h->dimensions < 2)
            h->shape[h->dimensions] = size;
        if (!take(in, ",")) {
            h->dimensions++;
            return take(in, ")");
        }
    }
    return true;
}

static bool parse(struct input *in, struct header *h)
{
    char name[NAME_BYTES];
    if (!take(in, "{"))
        return false;
    while (!take(in, "}")) {
        if (!take_string(in, name) || !take(in, ":"))
            return false;
        if (strcmp(name, "descr") == 0)
            h->has_type = take_string(in, h->type);
        else if (strcmp(name, "fortran_order") == 0)
            h->has_order = take(in, "False") || (h->fortran = take(in, "True"));
        else if (strcmp(name, "shape") == 0)
            h->has_shape = take_shape(in, h);
        else
            return false;
        if (!take(in, ",") && in->at < in->end && *in->at != '}')
            return false;
    }
    return h->has_type && h->has_order && h->has_shape;
}

/* The header's text, and where the rows start. */
static int find_header(const char *path, const struct nc_mapping *file, struct input *in,
                       size_t *offset)
{
    const uint8_t *bytes = file->data;
    size_t size = file->size, length = 0, before = 10;
    if (size < 12 || memcmp(bytes, magic, sizeof magic) != 0) {
        enum nc_kind kind = nc_kind_of(bytes, size < NC_KIND_HEAD ? size : NC_KIND_HEAD,
                                       size <= NC_KIND_HEAD);
        return nc_kind_refuse(path, kind, "a .npy file of embeddings", NULL);
    }
    if (bytes[6] == 1) {
        length = bytes[8] | (size_t)bytes[9] << 8;
    } else if (bytes[6] == 2 || bytes[6] == 3) {
        length = bytes[8] | (size_t)bytes[9] << 8 | (size_t)bytes[10] << 16 | (size_t)bytes[11] << 24;
        before = 12;
    } else {
        return nc_error(NC_BAD_INPUT, "%s: a .npy file of version %d, but this program reads 1 to 3",
                        path, bytes[6]);
    }
    if (length > HEADER_LIMIT || length > size - before)
        return nc_error(NC_BAD_INPUT, "%s: the file ends within its header: fetch it again", path);
    *in = (struct input){(const char *)bytes + before, (const char *)bytes + before + length};
    *offset = before + length;
    return NC_OK;
}

static int find_type(const char *path, const struct header *h, enum nc_type *type)
{
    if (strcmp(h->type, "<f4") == 0)
        *type = NC_FLOAT32;
    else if (strcmp(h->type, "<f2") == 0)
        *type = NC_FLOAT16;
    else
        return nc_error(NC_BAD_INPUT,
                        "%s: its numbers are \"%s\", but this program reads float32 and float16 of "
                        "little-endian machines (\"<f4\", \"<f2\"): save x.astype('<f4')",
                        path, h->type);
    return NC_OK;
}

static int check(const char *path, struct nc_npy *npy)
{
    struct input in = {0};
    struct header h = {0};
    int status = find_header(path, &npy->mapping, &in, &npy->offset);
    if (status == NC_OK && !parse(&in, &h))
        status = nc_error(NC_BAD_INPUT, "%s: damaged: its header is not that of a .npy file", path);
    if (status == NC_OK)
        status = find_type(path, &h, &npy->type);
    if (status == NC_OK && h.dimensions != 2)
        status = nc_error(NC_BAD_INPUT,
                          "%s: an array of %zu dimension%s, where embeddings have two: rows and "
                          "columns", path, h.dimensions, h.dimensions == 1 ? "" : "s");
    if (status == NC_OK && h.fortran && h.shape[0] > 1 && h.shape[1] > 1)
        status = nc_error(NC_BAD_INPUT,
                          "%s: its columns lie together, not its rows (Fortran's order): save "
                          "numpy.ascontiguousarray(x)", path);
    if (status != NC_OK)
        return status;
    npy->count = h.shape[0];
    npy->columns = h.shape[1];
    npy->rows = npy->mapping.data + npy->offset;
    size_t row = nc_type_size(npy->type), left = npy->mapping.size - npy->offset;
    bool fits = npy->columns <= SIZE_MAX / row && (row *= npy->columns, true) &&
                (!row || npy->count <= left / row);
    if (!fits)
        return nc_error(NC_BAD_INPUT,
                        "%s: the file ends before its %zu rows of %zu numbers: fetch it again", path,
                        npy->count, npy->columns);
    if (npy->count * row != left)
        return nc_error(NC_BAD_INPUT,
                        "%s: %zu bytes stand behind its %zu rows, as when several arrays are saved "
                        "into one file: save each into a file of its own", path,
                        left - npy->count * row, npy->count);
    return NC_OK;
}

int nc_npy_open(const char *path, struct nc_npy *npy)
{
    *npy = (struct nc_npy){0};
    int status = nc_file_map(path, &npy->mapping);
    if (status == NC_OK)
        status = check(path, npy);
    if (status != NC_OK)
        nc_npy_close(npy);
    return status;
}

void nc_npy_close(struct nc_npy *npy)
{
    nc_file_unmap(&npy->mapping);
    *npy = (struct nc_npy){0};
}

/* ---- writing ---------------------------------------------------------------------------------- */

static void make_header(uint8_t header[HEADER_BYTES], enum nc_type type, size_t rows, size_t columns)
{
    char text[HEADER_BYTES];
    int length = snprintf(text, sizeof text,
                          "{'descr': '%s', 'fortran_order': False, 'shape': (%zu, %zu), }",
                          type == NC_FLOAT16 ? "<f2" : "<f4", rows, columns);
    memset(header, ' ', HEADER_BYTES);
    memcpy(header, magic, sizeof magic);
    header[6] = 1;
    header[7] = 0;
    header[8] = HEADER_BYTES - 10;
    header[9] = 0;
    memcpy(header + 10, text, (size_t)length);
    header[HEADER_BYTES - 1] = '\n';
}

int nc_npy_begin(struct nc_writer *writer, enum nc_type type, size_t count, size_t columns)
{
    uint8_t header[HEADER_BYTES];
    make_header(header, type, count, columns);
    return nc_writer_write(writer, header, sizeof header);
}

int nc_npy_write(const char *path, const float *data, size_t rows, size_t columns)
{
    struct nc_writer *writer;
    int status = nc_writer_create(path, &writer);
    if (status != NC_OK)
        return status;
    status = nc_npy_begin(writer, NC_FLOAT32, rows, columns);
    if (status == NC_OK)
        status = nc_writer_write(writer, data, rows * columns * sizeof *data);
    if (status != NC_OK) {
        nc_writer_abort(writer);
        return status;
    }
    return nc_writer_commit(writer);
}
