/* Blocks of rows, and rows: read and checked when they are first touched. */
#include "shard.h"

#include "nclip/support/error.h"

#include <math.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

size_t nc_embedding_store_blocks(const struct nc_embedding_store *store)
{
    return store->blocks;
}

size_t nc_embedding_store_block_of(const struct nc_embedding_store *store, size_t row)
{
    const struct nc_shard *shard = nc_store_shard_of(store, row);
    return shard->first_block + (row - shard->first_row) / store->block_rows;
}

static void describe(const struct nc_embedding_store *store, const struct nc_shard *shard,
                     size_t number, struct nc_embedding_block *block)
{
    size_t first = number * store->block_rows, left = shard->rows - first;
    size_t rows = left < store->block_rows ? left : store->block_rows;
    *block = (struct nc_embedding_block){
        .path = shard->rows_path ? shard->rows_path : shard->path,
        .offset = shard->rows_offset + (uint64_t)first * store->row_bytes,
        .bytes = rows * store->row_bytes,
        .first_row = shard->first_row + first,
        .rows = rows,
        .number = number,
        .sum = shard->old ? 0 : shard->sums[number],
        .has_sum = !shard->old,
    };
}

void nc_embedding_store_block(const struct nc_embedding_store *store, size_t number,
                              struct nc_embedding_block *block)
{
    size_t low = 0, high = store->shard_count; /* as nc_store_shard_of() */
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (store->shards[middle].first_block <= number)
            low = middle;
        else
            high = middle;
    }
    const struct nc_shard *shard = &store->shards[low];
    describe(store, shard, number - shard->first_block, block);
}

int nc_embedding_block_check(const struct nc_embedding_block *block, const void *bytes)
{
    if (!block->has_sum || XXH3_64bits(bytes, block->bytes) == block->sum)
        return NC_OK;
    return nc_error(
        NC_BAD_INPUT,
        "%s: damaged embeddings: block %zu (%zu bytes from byte %llu) does not have its "
        "checksum; restore the file, or remove it and run nclip embed again",
        block->path, block->number, block->bytes, (unsigned long long)block->offset);
}

/* ---- rows ---- */

static int check_block(const struct nc_embedding_store *store, struct nc_shard *shard,
                       size_t number, const uint8_t *rows)
{
    _Atomic(uint64_t) *word = &shard->checked[number / 64];
    uint64_t bit = (uint64_t)1 << number % 64;
    if (atomic_load_explicit(word, memory_order_relaxed) & bit)
        return NC_OK;
    struct nc_embedding_block block;
    describe(store, shard, number, &block);
    int status =
        nc_embedding_block_check(&block, rows + number * store->block_rows * store->row_bytes);
    if (status == NC_OK)
        atomic_fetch_or_explicit(word, bit, memory_order_relaxed);
    return status;
}

int nc_embedding_store_row(const struct nc_embedding_store *store, size_t row, const void **data)
{
    struct nc_shard *shard = nc_store_shard_of(store, row);
    const uint8_t *rows = atomic_load_explicit(&shard->row_bytes, memory_order_acquire);
    size_t in_shard = row - shard->first_row;
    int status = NC_OK;
    if (!rows) {
        pthread_mutex_lock(&store->state->lock);
        status = nc_shard_map_rows(shard);
        pthread_mutex_unlock(&store->state->lock);
        rows = atomic_load(&shard->row_bytes);
    }
    if (status == NC_OK && !shard->old)
        status = check_block(store, shard, in_shard / store->block_rows, rows);
    *data = status == NC_OK ? rows + in_shard * store->row_bytes : NULL;
    return status;
}

int nc_embedding_store_row_float(const struct nc_embedding_store *store, size_t row, float *out)
{
    return nc_embedding_store_gather(store, &row, 1, NC_FLOAT32, out);
}

int nc_embedding_store_row_unit(const struct nc_embedding_store *store, size_t row, float *out)
{
    double sum = 0;
    int status = nc_embedding_store_row_float(store, row, out);
    if (status != NC_OK || (store->info.normalized && store->info.type == NC_FLOAT32))
        return status;
    for (size_t i = 0; i < store->info.dimension; i++)
        sum += (double)out[i] * (double)out[i];
    float factor = sum > 0 ? (float)(1 / sqrt(sum)) : 0;
    for (size_t i = 0; i < store->info.dimension; i++)
        out[i] *= factor;
    return NC_OK;
}

int nc_embedding_store_gather(const struct nc_embedding_store *store, const size_t *rows,
                              size_t count, enum nc_type type, void *out)
{
    size_t out_bytes = store->info.dimension * nc_type_size(type);
    int status = NC_OK;
    for (size_t i = 0; i < count && status == NC_OK; i++) {
        const void *row;
        status = nc_embedding_store_row(store, rows[i], &row);
        if (status == NC_OK)
            nc_convert((char *)out + i * out_bytes, type, row, store->info.type,
                       store->info.dimension);
    }
    return status;
}
