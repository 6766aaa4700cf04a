/* Opens a shard, maps it when it is needed, and says when it has changed. */
#include "shard.h"

#include "nclip/support/error.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

enum { FIRST_READ = 8192 }; /* bytes: the head of a shard of usual size */

static struct nc_file_state state_of(const struct stat *s)
{
    return (struct nc_file_state){s->st_dev, s->st_ino, s->st_size, s->st_mtim};
}

static int damaged(const char *path, const char *what)
{
    return nc_error(NC_BAD_INPUT,
                    "%s: damaged embeddings: %s; restore the file, or remove it and run nclip "
                    "embed again",
                    path, what);
}

/* ---- version 1 ---- */

/* Maps and checks the whole file. */
static int open_old(struct nc_shard *shard, struct nc_shard_header *h)
{
    int status = nc_file_map(shard->path, &shard->mapping);
    if (status != NC_OK)
        return status;
    const uint8_t *bytes = shard->mapping.data;
    size_t size = shard->mapping.size;
    status = nc_shard_parse_header(shard->path, bytes, size, size, h, NULL);
    if (status != NC_OK)
        return status;
    if (h->version != 1)
        return nc_error(NC_FAILED, "%s: was replaced while it was opened; run again", shard->path);
    memcpy(&shard->sum, bytes + size - NC_SHARD_CHECKSUM_BYTES, sizeof shard->sum);
    if (XXH3_64bits(bytes, size - NC_SHARD_CHECKSUM_BYTES) != shard->sum)
        return damaged(shard->path, "the checksum does not fit");
    shard->key_text = malloc((size_t)h->keys_bytes + 1);
    shard->old_keys = malloc((size_t)(h->rows + 1) * sizeof *shard->old_keys);
    if (!shard->key_text || !shard->old_keys)
        return nc_error(NC_FAILED, "%s: no memory for %zu keys", shard->path, (size_t)h->rows);
    return nc_shard_parse_keys(shard->path, bytes + h->keys_offset, (size_t)h->keys_bytes,
                               (size_t)h->rows, shard->key_text, shard->old_keys);
}

/* ---- version 2 ---- */

/* Up to `wanted` bytes from the file's start, which are `*have` already; fewer are there only
 * where the file became shorter. */
static int read_more(int file, const char *path, uint8_t **bytes, size_t *have, size_t wanted)
{
    uint8_t *larger = realloc(*bytes, wanted + 1);
    if (!larger)
        return nc_error(NC_FAILED, "%s: no memory for %zu bytes", path, wanted);
    *bytes = larger;
    while (*have < wanted) {
        ssize_t count = pread(file, larger + *have, wanted - *have, (off_t)*have);
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            return nc_error_read(path);
        if (count == 0)
            return nc_error(NC_FAILED, "%s: became shorter while it was opened; run again", path);
        *have += (size_t)count;
    }
    return NC_OK;
}

/* The file that a linked shard's rows are in must be there, and as large as it was. */
static int find_rows(struct nc_shard *shard, const char *folder, const struct nc_shard_header *h)
{
    char *name = strndup(h->rows_file.data, h->rows_file.size);
    shard->rows_path = name ? nc_path_join(folder, name) : NULL;
    free(name);
    if (!shard->rows_path)
        return nc_error(NC_FAILED, "%s: no memory", shard->path);
    struct stat now;
    if (stat(shard->rows_path, &now) != 0)
        return nc_error(nc_error_kind(errno),
                        "%s: its rows are in %s, which cannot be read: %s; put that file back",
                        shard->path, shard->rows_path, strerror(errno));
    if (!S_ISREG(now.st_mode) || (uint64_t)now.st_size != h->rows_file_bytes)
        return nc_error(NC_BAD_INPUT,
                        "%s: its rows are in %s, which had %llu bytes and has %llu; put the file "
                        "back as it was",
                        shard->path, shard->rows_path, (unsigned long long)h->rows_file_bytes,
                        (unsigned long long)now.st_size);
    shard->rows_state = state_of(&now);
    return NC_OK;
}

/* The sums, which the head's own sum covers. */
static int take_sums(struct nc_shard *shard, const struct nc_shard_header *h, const uint8_t *head)
{
    size_t end = (size_t)nc_shard_head_bytes(h);
    shard->blocks = (size_t)nc_shard_head_blocks(h);
    memcpy(&shard->sum, head + end - sizeof shard->sum, sizeof shard->sum);
    if (XXH3_64bits(head, end - sizeof shard->sum) != shard->sum)
        return damaged(shard->path, "the head does not have its checksum");
    shard->sums = malloc((shard->blocks + 1) * sizeof *shard->sums);
    shard->checked = calloc(shard->blocks / 64 + 1, sizeof *shard->checked);
    if (!shard->sums || !shard->checked)
        return nc_error(NC_FAILED, "%s: no memory for %zu blocks", shard->path, shard->blocks);
    memcpy(shard->sums, head + h->sums_offset, (shard->blocks + 1) * sizeof *shard->sums);
    return NC_OK;
}

int nc_shard_open(struct nc_shard *shard, const char *folder, struct nc_shard_header *h,
                  uint8_t **head)
{
    struct stat now;
    size_t have = 0;
    bool whole = true;
    *head = NULL;
    int file = open(shard->path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return nc_error_read(shard->path);
    int status = NC_OK;
    if (fstat(file, &now) != 0)
        status = nc_error_read(shard->path);
    else if (!S_ISREG(now.st_mode))
        status = nc_error(NC_BAD_INPUT, "%s: not a regular file", shard->path);
    size_t size = status == NC_OK ? (size_t)now.st_size : 0;
    if (status == NC_OK) {
        shard->state = state_of(&now);
        status = read_more(file, shard->path, head, &have, size < FIRST_READ ? size : FIRST_READ);
    }
    if (status == NC_OK)
        status = nc_shard_parse_header(shard->path, *head, have, size, h, &whole);
    if (status != NC_OK && !whole) {
        size_t wanted = size < NC_SHARD_HEADER_LIMIT ? size : NC_SHARD_HEADER_LIMIT;
        status = read_more(file, shard->path, head, &have, wanted);
        if (status == NC_OK)
            status = nc_shard_parse_header(shard->path, *head, have, size, h, NULL);
    }
    if (status == NC_OK && h->version != 1 && nc_shard_head_bytes(h) > have) {
        status = read_more(file, shard->path, head, &have, (size_t)nc_shard_head_bytes(h));
        if (status == NC_OK) /* its texts moved */
            status = nc_shard_parse_header(shard->path, *head, have, size, h, NULL);
    }
    close(file);
    if (status != NC_OK)
        return status;
    shard->old = h->version == 1;
    if (shard->old)
        status = open_old(shard, h);
    else
        status = take_sums(shard, h, *head);
    shard->rows = (size_t)h->rows;
    shard->rows_offset = h->rows_offset;
    shard->keys_offset = h->keys_offset;
    shard->keys_bytes = h->keys_bytes;
    if (status == NC_OK && shard->old) {
        size_t block = nc_embedding_block_rows((size_t)h->dimension * nc_type_size(h->type));
        shard->blocks = shard->rows / block + (shard->rows % block != 0);
        atomic_store(&shard->row_bytes, shard->mapping.data + shard->rows_offset);
    } else if (status == NC_OK && h->linked) {
        status = find_rows(shard, folder, h);
    }
    return status;
}

void nc_shard_close(struct nc_shard *shard)
{
    nc_file_unmap(&shard->mapping);
    nc_file_unmap(&shard->rows_mapping);
    free(shard->path);
    free(shard->sums);
    free((void *)shard->checked);
    free(shard->rows_path);
    free(shard->key_text);
    free(shard->old_keys);
}

static bool is(const struct nc_msgpack_text *a, const char *b)
{
    return a->size == strlen(b) && memcmp(a->data, b, a->size) == 0;
}

int nc_shard_compare(const char *first, const struct nc_embedding_info *a, const char *path,
                     const struct nc_shard_header *b)
{
    const char *what = !is(&b->model_hash, a->model_hash)         ? "models"
                       : !is(&b->preprocessing, a->preprocessing) ? "preprocessing"
                       : a->dimension != b->dimension             ? "dimensions"
                       : a->type != b->type                       ? "element types"
                       : a->normalized != b->normalized           ? "normalisation"
                                                                  : NULL;
    if (what)
        return nc_error(NC_BAD_INPUT, "%s and %s: embeddings of different %s in one store", first,
                        path, what);
    return NC_OK;
}

/* ---- changed files ---- */

static bool same_state(const struct nc_file_state *a, const struct stat *now)
{
    struct nc_file_state b = state_of(now);
    return a->device == b.device && a->inode == b.inode && a->size == b.size &&
           a->written.tv_sec == b.written.tv_sec && a->written.tv_nsec == b.written.tv_nsec;
}

static int check_state(const char *path, const struct nc_file_state *state)
{
    struct stat now;
    if (stat(path, &now) != 0)
        return nc_error(NC_FAILED,
                        "%s: was there when the store was opened: %s; put it back and "
                        "run again",
                        path, strerror(errno));
    if (!same_state(state, &now))
        return nc_error(NC_FAILED,
                        "%s: was written to or replaced since the store was opened: what was read "
                        "of it may be of two files; run again",
                        path);
    return NC_OK;
}

int nc_shard_check(const struct nc_shard *shard)
{
    /* What is mapped stays what it is when the file is removed or replaced. */
    int status = shard->mapping.size ? nc_mapping_check(&shard->mapping)
                                     : check_state(shard->path, &shard->state);
    if (status == NC_OK && shard->rows_path)
        status = shard->rows_mapping.size ? nc_mapping_check(&shard->rows_mapping)
                                          : check_state(shard->rows_path, &shard->rows_state);
    return status;
}

/* ---- mapping ---- */

static int map_as_it_was(const char *path, const struct nc_file_state *state,
                         struct nc_mapping *mapping)
{
    if (mapping->size)
        return NC_OK;
    int status = nc_file_map(path, mapping);
    if (status == NC_OK)
        status = check_state(path, state);
    if (status != NC_OK)
        nc_file_unmap(mapping);
    return status;
}

int nc_shard_map(struct nc_shard *shard)
{
    return map_as_it_was(shard->path, &shard->state, &shard->mapping);
}

int nc_shard_map_rows(struct nc_shard *shard)
{
    if (atomic_load(&shard->row_bytes))
        return NC_OK;
    struct nc_mapping *mapping = shard->rows_path ? &shard->rows_mapping : &shard->mapping;
    int status = shard->rows_path
                     ? map_as_it_was(shard->rows_path, &shard->rows_state, &shard->rows_mapping)
                     : nc_shard_map(shard);
    if (status == NC_OK)
        atomic_store(&shard->row_bytes, mapping->data + shard->rows_offset);
    return status;
}

int nc_shard_map_keys(struct nc_shard *shard)
{
    if (atomic_load(&shard->keys_checked))
        return NC_OK;
    int status = nc_shard_map(shard);
    if (status == NC_OK)
        status = nc_key_section_check(shard->path, shard->mapping.data + shard->keys_offset,
                                      (size_t)shard->keys_bytes, shard->rows,
                                      shard->sums[shard->blocks], &shard->keys);
    if (status == NC_OK)
        atomic_store(&shard->keys_checked, true);
    return status;
}
