/* Keeps examples on disk, by ranges of rows, until all are there. */
#include "spill.h"

#include "nclip/support/error.h"
#include "nclip/support/files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BUFFER = 32 << 10 }; /* bytes of a bucket that wait to be written */

struct chunk {
    uint64_t offset;
    uint32_t bytes, bucket;
};

struct buffer {
    char *bytes; /* [BUFFER], when it is first needed */
    size_t used;
};

struct prepare_spill {
    char *path, *chunks_path;
    int file, chunks;
    size_t buckets;
    struct buffer *buffers; /* [buckets] */
    struct spill_size size; /* of the files */
    struct chunk *index;    /* [size.chunks], by buckets */
    size_t *first;          /* [buckets + 1] of a bucket in it */
    char *read;             /* a chunk */
    size_t read_capacity;
};

static int write_failed(const char *path)
{
    return nc_error(NC_FAILED, "%s: cannot write: %s; the same command goes on when this is mended",
                    path, strerror(errno));
}

static int open_file(const char *path, uint64_t size, int *file)
{
    struct stat information;
    *file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (*file < 0 || fstat(*file, &information) != 0)
        return write_failed(path);
    if ((uint64_t)information.st_size < size)
        return nc_error(NC_FAILED,
                        "%s: shorter than it was: remove its folder and run nclip prepare again",
                        path);
    return ftruncate(*file, (off_t)size) == 0 ? NC_OK : write_failed(path);
}

int spill_open(const char *folder, size_t buckets, const struct spill_size *size,
               struct prepare_spill **out)
{
    *out = NULL;
    struct prepare_spill *spill = calloc(1, sizeof *spill);
    if (!spill)
        return nc_error(NC_FAILED, "%s: no memory", folder);
    spill->file = spill->chunks = -1;
    spill->buckets = buckets;
    spill->size = *size;
    spill->path = nc_path_join(folder, "spill");
    spill->chunks_path = nc_path_join(folder, "chunks");
    spill->buffers = calloc(buckets, sizeof *spill->buffers);
    int status = spill->path && spill->chunks_path && spill->buffers
                     ? NC_OK
                     : nc_error(NC_FAILED, "%s: no memory", folder);
    if (status == NC_OK)
        status = open_file(spill->path, size->bytes, &spill->file);
    if (status == NC_OK)
        status = open_file(spill->chunks_path, size->chunks * sizeof(struct chunk), &spill->chunks);
    if (status == NC_OK)
        *out = spill;
    else
        spill_close(spill);
    return status;
}

void spill_close(struct prepare_spill *spill)
{
    if (!spill)
        return;
    for (size_t i = 0; spill->buffers && i < spill->buckets; i++)
        free(spill->buffers[i].bytes);
    if (spill->file >= 0)
        close(spill->file);
    if (spill->chunks >= 0)
        close(spill->chunks);
    free(spill->buffers);
    free(spill->index);
    free(spill->first);
    free(spill->read);
    free(spill->path);
    free(spill->chunks_path);
    free(spill);
}

/* ---- writing ---- */

static int write_at(const char *path, int file, const void *bytes, size_t size, uint64_t offset)
{
    for (size_t done = 0; done < size;) {
        ssize_t count = pwrite(file, (const char *)bytes + done, size - done,
                               (off_t)(offset + done));
        if (count < 0 && errno != EINTR)
            return write_failed(path);
        done += count > 0 ? (size_t)count : 0;
    }
    return NC_OK;
}

static int write_chunk(struct prepare_spill *spill, size_t bucket, const void *bytes, size_t size)
{
    const struct chunk chunk = {spill->size.bytes, (uint32_t)size, (uint32_t)bucket};
    int status = write_at(spill->path, spill->file, bytes, size, spill->size.bytes);
    if (status == NC_OK)
        status = write_at(spill->chunks_path, spill->chunks, &chunk, sizeof chunk,
                          spill->size.chunks * sizeof chunk);
    if (status == NC_OK) {
        spill->size.bytes += size;
        spill->size.chunks++;
    }
    return status;
}

static int flush(struct prepare_spill *spill, size_t bucket)
{
    struct buffer *buffer = &spill->buffers[bucket];
    int status = buffer->used ? write_chunk(spill, bucket, buffer->bytes, buffer->used) : NC_OK;
    buffer->used = 0;
    return status;
}

static int append_one(struct prepare_spill *spill, const struct spill_record *record)
{
    struct buffer *buffer = &spill->buffers[record->bucket];
    int status = NC_OK;
    if (buffer->used + record->bytes > BUFFER)
        status = flush(spill, record->bucket);
    if (status == NC_OK && record->bytes > BUFFER)
        return write_chunk(spill, record->bucket, record, record->bytes);
    if (status == NC_OK && !buffer->bytes && !(buffer->bytes = malloc(BUFFER)))
        status = nc_error(NC_FAILED, "%s: no memory", spill->path);
    if (status != NC_OK)
        return status;
    memcpy(buffer->bytes + buffer->used, record, record->bytes);
    buffer->used += record->bytes;
    return NC_OK;
}

int spill_append(struct prepare_spill *spill, const void *records, size_t bytes)
{
    int status = NC_OK;
    for (size_t at = 0; at < bytes && status == NC_OK;) {
        const struct spill_record *record = (const void *)((const char *)records + at);
        status = append_one(spill, record);
        at += record->bytes;
    }
    return status;
}

int spill_sync(struct prepare_spill *spill, struct spill_size *size)
{
    int status = NC_OK;
    for (size_t bucket = 0; bucket < spill->buckets && status == NC_OK; bucket++)
        status = flush(spill, bucket);
    if (status == NC_OK && fdatasync(spill->file) != 0)
        status = write_failed(spill->path);
    if (status == NC_OK && fdatasync(spill->chunks) != 0)
        status = write_failed(spill->chunks_path);
    *size = spill->size;
    return status;
}

/* ---- reading ---- */

static int read_at(const char *path, int file, void *bytes, size_t size, uint64_t offset)
{
    for (size_t done = 0; done < size;) {
        ssize_t count = pread(file, (char *)bytes + done, size - done, (off_t)(offset + done));
        if (count == 0)
            return nc_error(NC_FAILED, "%s: became shorter while it was read", path);
        if (count < 0 && errno != EINTR)
            return nc_error_read(path);
        done += count > 0 ? (size_t)count : 0;
    }
    return NC_OK;
}

int spill_index(struct prepare_spill *spill)
{
    size_t count = spill->size.chunks;
    struct chunk *chunks = malloc((count ? count : 1) * sizeof *chunks);
    spill->index = malloc((count ? count : 1) * sizeof *chunks);
    spill->first = calloc(spill->buckets + 2, sizeof *spill->first);
    int status = chunks && spill->index && spill->first
                     ? NC_OK
                     : nc_error(NC_FAILED, "%s: no memory", spill->path);
    if (status == NC_OK)
        status = read_at(spill->chunks_path, spill->chunks, chunks, count * sizeof *chunks, 0);
    for (size_t i = 0; i < count && status == NC_OK; i++) {
        if (chunks[i].bucket >= spill->buckets || chunks[i].offset > spill->size.bytes ||
            chunks[i].bytes > spill->size.bytes - chunks[i].offset)
            status = nc_error(NC_FAILED,
                              "%s: damaged: remove its folder and run nclip prepare again",
                              spill->chunks_path);
        else
            spill->first[chunks[i].bucket + 2]++;
    }
    for (size_t bucket = 0; bucket < spill->buckets && status == NC_OK; bucket++)
        spill->first[bucket + 2] += spill->first[bucket + 1];
    /* first[b + 1] moves on from bucket b's first to its end, which is the next one's first */
    for (size_t i = 0; i < count && status == NC_OK; i++)
        spill->index[spill->first[chunks[i].bucket + 1]++] = chunks[i];
    free(chunks);
    return status;
}

uint64_t spill_bucket_bytes(const struct prepare_spill *spill, size_t bucket)
{
    uint64_t bytes = 0;
    for (size_t i = spill->first[bucket]; i < spill->first[bucket + 1]; i++)
        bytes += spill->index[i].bytes;
    return bytes;
}

static int read_chunk(struct prepare_spill *spill, const struct chunk *chunk, spill_take take,
                      void *context)
{
    if (chunk->bytes > spill->read_capacity) {
        char *larger = realloc(spill->read, chunk->bytes);
        if (!larger)
            return nc_error(NC_FAILED, "%s: no memory", spill->path);
        spill->read = larger;
        spill->read_capacity = chunk->bytes;
    }
    int status = read_at(spill->path, spill->file, spill->read, chunk->bytes, chunk->offset);
    for (size_t at = 0; at < chunk->bytes && status == NC_OK;) {
        const struct spill_record *record = (const void *)(spill->read + at);
        size_t left = chunk->bytes - at;
        if (left < sizeof *record || record->bytes < sizeof *record || record->bytes > left ||
            record->bytes % 8 || record->bucket != chunk->bucket)
            return nc_error(NC_FAILED, "%s: damaged: remove its folder and run nclip prepare again",
                            spill->path);
        status = take(context, record);
        at += record->bytes;
    }
    return status;
}

int spill_read(struct prepare_spill *spill, size_t first, size_t end, spill_take take,
               void *context)
{
    int status = NC_OK;
    for (size_t i = spill->first[first]; i < spill->first[end] && status == NC_OK; i++)
        status = read_chunk(spill, &spill->index[i], take, context);
    return status;
}

void spill_drop(struct prepare_spill *spill, size_t first, size_t end)
{
    for (size_t i = spill->first[first]; i < spill->first[end]; i++)
        (void)fallocate(spill->file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                        (off_t)spill->index[i].offset, spill->index[i].bytes);
}
