/* Reads keys.index. */
#include "index.h"

#include "nclip/support/error.h"
#include "nclip/support/files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

struct nc_key_index {
    char *path;
    struct nc_mapping mapping; /* of a file with a name */
    const uint8_t *data;       /* the mapping's, or of a file without */
    size_t size;
    const struct nc_key_entry *entries;      /* [rows] */
    const struct nc_index_bucket *directory; /* [2^bits] */
    uint64_t rows;
    unsigned bits;
};

unsigned nc_index_bits(uint64_t rows)
{
    unsigned bits = 0;
    while (rows >> bits > NC_INDEX_BUCKET)
        bits++;
    return bits;
}

uint64_t nc_key_hash(const char *key, size_t length)
{
    return XXH3_64bits(key, length);
}

/* Whether the bytes are an index of these shards, whole: then the places in it are set. */
static bool take(struct nc_key_index *index, uint64_t fingerprint, uint64_t rows)
{
    struct nc_index_tail tail;
    unsigned bits = nc_index_bits(rows);
    if (index->size < sizeof tail || rows > index->size / sizeof(struct nc_key_entry))
        return false;
    size_t entries = (size_t)rows * sizeof(struct nc_key_entry);
    size_t directory = ((size_t)1 << bits) * sizeof(struct nc_index_bucket);
    memcpy(&tail, index->data + index->size - sizeof tail, sizeof tail);
    if (memcmp(tail.magic, NC_INDEX_MAGIC, sizeof NC_INDEX_MAGIC) != 0 ||
        tail.fingerprint != fingerprint || tail.rows != rows || tail.bits != bits ||
        index->size != entries + directory + sizeof tail)
        return false;
    if (XXH3_64bits(index->data + entries, directory + sizeof tail - sizeof tail.sum) != tail.sum)
        return false;
    index->rows = rows;
    index->bits = bits;
    index->entries = (const struct nc_key_entry *)index->data;
    index->directory = (const struct nc_index_bucket *)(index->data + entries);
    uint64_t end = 0;
    for (size_t i = 0; i < (size_t)1 << bits; i++) {
        if (index->directory[i].end < end)
            return false;
        end = index->directory[i].end;
    }
    return end == rows;
}

static struct nc_key_index *create(const char *path)
{
    struct nc_key_index *index = calloc(1, sizeof *index);
    if (index && !(index->path = strdup(path))) {
        free(index);
        return NULL;
    }
    return index;
}

int nc_key_index_open(const char *path, uint64_t fingerprint, uint64_t rows,
                      struct nc_key_index **out)
{
    *out = NULL;
    if (!nc_file_exists(path))
        return NC_OK;
    struct nc_key_index *index = create(path);
    if (!index)
        return nc_error(NC_FAILED, "%s: no memory", path);
    if (nc_file_map(path, &index->mapping) == NC_OK) {
        index->data = index->mapping.data;
        index->size = index->mapping.size;
        if (take(index, fingerprint, rows)) {
            *out = index;
            return NC_OK;
        }
    }
    nc_key_index_close(index); /* what cannot be used is made anew */
    return NC_OK;
}

int nc_key_index_map(int file, const char *path, uint64_t fingerprint, uint64_t rows,
                     struct nc_key_index **out)
{
    *out = NULL;
    struct stat now;
    struct nc_key_index *index = create(path);
    if (!index)
        return nc_error(NC_FAILED, "%s: no memory", path);
    void *data = MAP_FAILED;
    if (fstat(file, &now) == 0 && now.st_size > 0)
        data = mmap(NULL, (size_t)now.st_size, PROT_READ, MAP_SHARED, file, 0);
    int status = data == MAP_FAILED ? nc_error_read(path) : NC_OK;
    if (status == NC_OK) {
        index->data = data;
        index->size = (size_t)now.st_size;
        if (!take(index, fingerprint, rows))
            status = nc_error(NC_FAILED,
                              "%s: an index of keys was written, but reads as another; "
                              "the disk fails",
                              path);
    }
    if (status == NC_OK)
        *out = index;
    else
        nc_key_index_close(index);
    return status;
}

void nc_key_index_close(struct nc_key_index *index)
{
    if (!index)
        return;
    if (index->data && !index->mapping.data)
        munmap((void *)index->data, index->size);
    nc_file_unmap(&index->mapping);
    free(index->path);
    free(index);
}

uint64_t nc_key_index_rows(const struct nc_key_index *index)
{
    return index->rows;
}

const struct nc_key_entry *nc_key_index_entries(const struct nc_key_index *index)
{
    return index->entries;
}

static int check_bucket(const struct nc_key_index *index, size_t number, uint64_t *start)
{
    const struct nc_index_bucket *bucket = &index->directory[number];
    *start = number ? bucket[-1].end : 0;
    size_t bytes = (size_t)(bucket->end - *start) * sizeof(struct nc_key_entry);
    if (XXH3_64bits(index->entries + *start, bytes) == bucket->sum)
        return NC_OK;
    return nc_error(NC_BAD_INPUT,
                    "%s: damaged: bucket %zu does not have its checksum; remove the file, and it "
                    "is made anew",
                    index->path, number);
}

int nc_key_index_find(const struct nc_key_index *index, uint64_t hash,
                      const struct nc_key_entry **first, size_t *count)
{
    size_t number = nc_index_bucket_of(hash, index->bits);
    uint64_t low, high = index->directory[number].end, end = high;
    *count = 0;
    int status = check_bucket(index, number, &low);
    if (status != NC_OK)
        return status;
    while (low < high) { /* the first entry of that hash or a larger one */
        uint64_t middle = low + (high - low) / 2;
        if (index->entries[middle].hash < hash)
            low = middle + 1;
        else
            high = middle;
    }
    *first = index->entries + low;
    while (low + *count < end && (*first)[*count].hash == hash)
        ++*count;
    return NC_OK;
}

int nc_key_index_verify(const struct nc_key_index *index)
{
    int status = NC_OK;
    for (size_t i = 0; status == NC_OK && i < (size_t)1 << index->bits; i++) {
        uint64_t start;
        status = check_bucket(index, i, &start);
    }
    return status;
}
