/* Packs and parses the map that a shard begins with. */
#include "format.h"

#include "nclip/support/error.h"

#include <stdlib.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "rows are written as they lie in memory");

static const char format_name[] = "nclip embeddings";

enum { BLOCK_LEAST = 1 << 20, BLOCK_MOST = 1 << 24 }; /* bytes */

size_t nc_embedding_block_rows(size_t row_bytes)
{
    size_t step = NC_EMBEDDING_ALIGNMENT; /* rows whose bytes are whole pages */
    for (size_t even = row_bytes; step > 1 && even % 2 == 0; even /= 2)
        step /= 2;
    size_t rows = (BLOCK_LEAST + step * row_bytes - 1) / (step * row_bytes) * step;
    return rows * row_bytes <= BLOCK_MOST ? rows : (BLOCK_LEAST + row_bytes - 1) / row_bytes;
}

/* ---- writing ---- */

static int pack_text(msgpack_packer *packer, const char *text, size_t size)
{
    int failed = msgpack_pack_str(packer, size);
    return failed | msgpack_pack_str_body(packer, text, size);
}

static int pack_name(msgpack_packer *packer, const char *name)
{
    return pack_text(packer, name, strlen(name));
}

static int pack_number(msgpack_packer *packer, const char *name, uint64_t value)
{
    int failed = pack_name(packer, name);
    return failed | msgpack_pack_uint64(packer, value);
}

bool nc_shard_pack_header(const struct nc_shard_header *header, msgpack_sbuffer *out)
{
    msgpack_packer packer;
    msgpack_packer_init(&packer, out, msgpack_sbuffer_write);
    int failed = msgpack_pack_map(&packer, header->linked ? 15 : 13);
    failed |= pack_name(&packer, "format") | pack_name(&packer, format_name);
    failed |= pack_number(&packer, "version", NC_SHARD_VERSION);
    failed |= pack_name(&packer, "model_hash");
    failed |= pack_text(&packer, header->model_hash.data, header->model_hash.size);
    failed |= pack_name(&packer, "preprocessing");
    failed |= pack_text(&packer, header->preprocessing.data, header->preprocessing.size);
    failed |= pack_number(&packer, "dimension", header->dimension);
    failed |= pack_name(&packer, "element_type");
    failed |= pack_name(&packer, nc_type_name(header->type));
    failed |= pack_name(&packer, "normalized");
    failed |= header->normalized ? msgpack_pack_true(&packer) : msgpack_pack_false(&packer);
    failed |= pack_number(&packer, "rows", header->rows);
    failed |= pack_number(&packer, "block_rows", header->block_rows);
    failed |= pack_number(&packer, "sums_offset", header->sums_offset);
    failed |= pack_number(&packer, "rows_offset", header->rows_offset);
    failed |= pack_number(&packer, "keys_offset", header->keys_offset);
    failed |= pack_number(&packer, "keys_bytes", header->keys_bytes);
    if (header->linked) {
        failed |= pack_name(&packer, "rows_file");
        failed |= pack_text(&packer, header->rows_file.data, header->rows_file.size);
        failed |= pack_number(&packer, "rows_file_bytes", header->rows_file_bytes);
    }
    return !failed;
}

/* ---- reading ---- */

static int wrong(const char *path, const char *what)
{
    return nc_error(NC_BAD_INPUT,
                    "%s: damaged embeddings: %s; remove the file and run nclip embed "
                    "again",
                    path, what);
}

static bool read_type(struct nc_msgpack *in, enum nc_type *type)
{
    struct nc_msgpack_text name;
    if (!nc_msgpack_text(in, &name))
        return false;
    for (int i = NC_FLOAT32; i <= NC_FLOAT16; i++) {
        if (nc_msgpack_is(&name, nc_type_name((enum nc_type)i))) {
            *type = (enum nc_type)i;
            return true;
        }
    }
    return false;
}

static bool no_zero(const struct nc_msgpack_text *text)
{
    return !memchr(text->data, 0, text->size);
}

enum field {
    FORMAT,
    VERSION,
    MODEL_HASH,
    PREPROCESSING,
    DIMENSION,
    ELEMENT_TYPE,
    NORMALIZED,
    ROWS,
    ROWS_OFFSET,
    KEYS_OFFSET,
    KEYS_BYTES,
    FIELDS_1, /* version 1 has those before it, each; version 2 those below, too */
    BLOCK_ROWS = FIELDS_1,
    SUMS_OFFSET,
    FIELDS_2,
    ROWS_FILE = FIELDS_2, /* both or none */
    ROWS_FILE_BYTES,
    FIELDS,
};

static const char *const field_names[FIELDS] = {
    "format",       "version",    "model_hash",  "preprocessing", "dimension",
    "element_type", "normalized", "rows",        "rows_offset",   "keys_offset",
    "keys_bytes",   "block_rows", "sums_offset", "rows_file",     "rows_file_bytes"};

static bool read_field(struct nc_msgpack *in, enum field field, struct nc_shard_header *h)
{
    struct nc_msgpack_text format;
    switch (field) {
    case FORMAT:
        return nc_msgpack_text(in, &format) && nc_msgpack_is(&format, format_name);
    case VERSION:
        return nc_msgpack_number(in, &h->version);
    case MODEL_HASH:
        return nc_msgpack_text(in, &h->model_hash) && no_zero(&h->model_hash);
    case PREPROCESSING:
        return nc_msgpack_text(in, &h->preprocessing) && no_zero(&h->preprocessing);
    case DIMENSION:
        return nc_msgpack_number(in, &h->dimension);
    case ELEMENT_TYPE:
        return read_type(in, &h->type);
    case NORMALIZED:
        return nc_msgpack_bool(in, &h->normalized);
    case ROWS:
        return nc_msgpack_number(in, &h->rows);
    case ROWS_OFFSET:
        return nc_msgpack_number(in, &h->rows_offset);
    case KEYS_OFFSET:
        return nc_msgpack_number(in, &h->keys_offset);
    case KEYS_BYTES:
        return nc_msgpack_number(in, &h->keys_bytes);
    case BLOCK_ROWS:
        return nc_msgpack_number(in, &h->block_rows);
    case SUMS_OFFSET:
        return nc_msgpack_number(in, &h->sums_offset);
    case ROWS_FILE:
        return nc_msgpack_text(in, &h->rows_file) && h->rows_file.size && no_zero(&h->rows_file);
    default:
        return nc_msgpack_number(in, &h->rows_file_bytes);
    }
}

/* The fields, in any order, each once. */
static int read_fields(const char *path, struct nc_msgpack *in, struct nc_shard_header *h)
{
    uint64_t count;
    unsigned seen = 0;
    if (!nc_msgpack_map(in, &count) || count > FIELDS)
        return wrong(path, "the header is not one of a shard");
    for (uint64_t i = 0; i < count; i++) {
        struct nc_msgpack_text name;
        unsigned field = 0;
        bool good = nc_msgpack_text(in, &name);
        while (good && field < FIELDS && !nc_msgpack_is(&name, field_names[field]))
            field++;
        if (!good || field == FIELDS || seen >> field & 1)
            return wrong(path, "the header has a field that does not belong there");
        seen |= 1u << field;
        if (!read_field(in, (enum field)field, h))
            return nc_error(NC_BAD_INPUT,
                            "%s: damaged embeddings: \"%s\" in the header is wrong; "
                            "remove the file and run nclip embed again",
                            path, field_names[field]);
        if (field == VERSION && h->version != 1 && h->version != NC_SHARD_VERSION)
            return nc_error(NC_BAD_INPUT,
                            "%s: embeddings of format version %llu, but this program reads 1 "
                            "and %d",
                            path, (unsigned long long)h->version, NC_SHARD_VERSION);
    }
    h->linked = seen >> ROWS_FILE & 1;
    unsigned expected = (1u << (h->version == 1 ? FIELDS_1 : h->linked ? FIELDS : FIELDS_2)) - 1;
    return seen == expected ? NC_OK : wrong(path, "the header is not one of a shard");
}

uint64_t nc_shard_head_blocks(const struct nc_shard_header *h)
{
    return h->rows / h->block_rows + (h->rows % h->block_rows != 0);
}

uint64_t nc_shard_head_bytes(const struct nc_shard_header *h)
{
    return h->sums_offset + (nc_shard_head_blocks(h) + 2) * sizeof(uint64_t);
}

/* Version 1: rows and keys fill the file. */
static int check_sizes_1(const char *path, const struct nc_shard_header *h, uint64_t map_bytes,
                         uint64_t row_bytes, uint64_t size)
{
    if (h->rows_offset % NC_EMBEDDING_ALIGNMENT || h->rows_offset < map_bytes ||
        h->rows_offset > size || h->rows > (size - h->rows_offset) / row_bytes ||
        h->keys_offset != h->rows_offset + h->rows * row_bytes)
        return wrong(path, "it is shorter than its rows, or the header lies");
    uint64_t left = size - h->keys_offset;
    if (left < NC_SHARD_CHECKSUM_BYTES || h->keys_bytes != left - NC_SHARD_CHECKSUM_BYTES)
        return wrong(path, "its size does not fit its header");
    return NC_OK;
}

/* Version 2: the head, then rows where they are not linked, then keys up to the end. A row has
 * more than 8 bytes of keys, so that no product below overflows. */
static int check_sizes_2(const char *path, const struct nc_shard_header *h, uint64_t map_bytes,
                         uint64_t row_bytes, uint64_t size)
{
    uint64_t holds = h->linked ? h->rows_file_bytes : size;
    if (h->block_rows != nc_embedding_block_rows((size_t)row_bytes) ||
        h->sums_offset % sizeof(uint64_t) || h->sums_offset < map_bytes ||
        h->sums_offset > NC_SHARD_HEADER_LIMIT + sizeof(uint64_t) ||
        h->rows > size / (sizeof(uint64_t) + 2))
        return wrong(path, "it is shorter than its keys, or the header lies");
    uint64_t head = nc_shard_head_bytes(h), end = head;
    bool placed = h->linked
                      ? h->rows_offset % nc_type_size(h->type) == 0
                      : h->rows_offset % NC_EMBEDDING_ALIGNMENT == 0 && h->rows_offset >= head;
    if (!placed || h->rows_offset > holds || h->rows > (holds - h->rows_offset) / row_bytes)
        return wrong(path, "it is shorter than its rows, or the header lies");
    if (!h->linked)
        end = (h->rows_offset + h->rows * row_bytes + 7) / 8 * 8;
    if (h->keys_offset != end || end > size || h->keys_bytes != size - end ||
        h->keys_bytes / (sizeof(uint64_t) + 2) < h->rows)
        return wrong(path, "its size does not fit its header");
    return NC_OK;
}

int nc_shard_parse_header(const char *path, const uint8_t *bytes, size_t size, uint64_t file_size,
                          struct nc_shard_header *h, bool *whole)
{
    *h = (struct nc_shard_header){0};
    size_t limit = size < NC_SHARD_HEADER_LIMIT ? size : NC_SHARD_HEADER_LIMIT;
    struct nc_msgpack in = {bytes, bytes + limit, false};
    int status = read_fields(path, &in, h);
    if (whole)
        *whole = !in.ended || limit == NC_SHARD_HEADER_LIMIT || limit == file_size;
    if (status != NC_OK)
        return status;
    if (h->dimension == 0 || h->dimension > NC_EMBEDDING_MAX_DIMENSION)
        return wrong(path, "the dimension is not one of embeddings");
    uint64_t map_bytes = (uint64_t)(in.at - bytes);
    uint64_t row_bytes = h->dimension * nc_type_size(h->type);
    return h->version == 1 ? check_sizes_1(path, h, map_bytes, row_bytes, file_size)
                           : check_sizes_2(path, h, map_bytes, row_bytes, file_size);
}

int nc_shard_parse_keys(const char *path, const uint8_t *bytes, size_t size, size_t rows,
                        char *text, const char **keys)
{
    struct nc_msgpack in = {bytes, bytes + size, false};
    uint64_t count;
    if (!nc_msgpack_array(&in, &count) || count != rows)
        return wrong(path, "it has not one key for every row");
    for (size_t i = 0; i < rows; i++) {
        struct nc_msgpack_text key;
        if (!nc_msgpack_text(&in, &key) || !key.size || key.size > NC_EMBEDDING_MAX_KEY || !no_zero(&key))
            return nc_error(NC_BAD_INPUT,
                            "%s: damaged embeddings: the key of row %zu is wrong; "
                            "remove the file and run nclip embed again",
                            path, i);
        keys[i] = text;
        memcpy(text, key.data, key.size); /* a key takes a byte more in the file */
        text[key.size] = 0;
        text += key.size + 1;
    }
    return in.at == in.end ? NC_OK : wrong(path, "there is something behind its keys");
}
