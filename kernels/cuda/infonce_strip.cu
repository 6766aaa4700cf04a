/* The strips in which InfoNCE walks its matrix, and copies of their inputs that the tensor cores
 * can read: rows aligned to 16 bytes, or in fp16. */
#include "infonce_tile.h"

#ifdef NCLIP_CUDA_EMULATED                                /* small, so that tests meet several */
static const size_t STRIP_ROWS = 384, COLUMNS_EACH = 256; /* of 3 multiprocessors */
#else
static const size_t STRIP_ROWS = 16384, COLUMNS_EACH = 64;
#endif

/* A thread for each 8 numbers. */
template <bool FP16>
static __global__ void copy_rows(const nc_bfloat16 *from, size_t rows, size_t width, size_t to_rows,
                                 size_t step, uint16_t *to)
{
    size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x, row = i / (step / 8);
    if (row >= to_rows)
        return;
    size_t k = i % (step / 8) * 8;
    float v[8] = {};
    if (row < rows && width == step) {
        nc_load8_bf16(v, from + row * width + k);
    } else if (row < rows) {
#pragma unroll
        for (size_t c = 0; c < 8; c++)
            v[c] = k + c < width ? nc_from_bf16(from[row * width + k + c]) : 0;
    }
    nc_bytes16 packed;
#pragma unroll
    for (int c = 0; c < 4; c++)
        packed.word[c] =
            FP16 ? nc_pack_fp16(v[2 * c], v[2 * c + 1]) : nc_pack_bf16(v[2 * c], v[2 * c + 1]);
    nc_store16(to + row * step + k, packed);
}

int nc_infonce_copy_rows(struct nc_backend *backend, const nc_bfloat16 *from, size_t rows,
                         size_t width, size_t to_rows, size_t step, bool as_fp16, uint16_t *to)
{
    unsigned blocks = (unsigned)nc_pieces(to_rows * step / 8, 256);
    return as_fp16 ? NC_LAUNCH(copy_rows<true>, blocks, 256, 0, backend->compute, from, rows, width,
                               to_rows, step, to)
                   : NC_LAUNCH(copy_rows<false>, blocks, 256, 0, backend->compute, from, rows,
                               width, to_rows, step, to);
}

struct nc_strips nc_infonce_strips(const struct nc_backend *backend, const struct nc_infonce *n,
                                   bool halved, char *base, size_t *used)
{
    bool fp32 = n->type == NC_FLOAT32;
    size_t columns = COLUMNS_EACH * (size_t)backend->multiprocessors / (fp32 && halved ? 2 : 1);
    struct nc_strips s = {n->captions < STRIP_ROWS ? n->captions : STRIP_ROWS,
                          n->images < columns ? n->images : columns, n->width, nullptr, nullptr};
    if (!fp32 && n->width % 8 != 0) {
        s.step = nc_pieces(n->width, 8) * 8;
        s.text = nc_take<nc_bfloat16>(base, used, s.rows * s.step);
        s.image = nc_take<nc_bfloat16>(base, used, s.columns * s.step);
    }
    return s;
}

int nc_infonce_strip_at(struct nc_backend *backend, const struct nc_infonce *n,
                        const struct nc_strips *strips, size_t row, size_t column,
                        struct nc_strip *strip)
{
    size_t rows = n->captions - row < strips->rows ? n->captions - row : strips->rows;
    size_t columns = n->images - column < strips->columns ? n->images - column : strips->columns;
    size_t size = nc_type_size(n->type) * n->width;
    const void *text = static_cast<const char *>(n->text) + row * size;
    const void *image = static_cast<const char *>(n->image) + column * size;
    *strip = {row, column, (int)rows, (int)columns, text, image, strips->step};
    if (!strips->text)
        return NC_OK;
    strip->text = strips->text;
    strip->image = strips->image;
    int status = NC_OK;
    if (column == 0)
        status = nc_infonce_copy_rows(backend, (const nc_bfloat16 *)text, rows, n->width, rows,
                                      strips->step, false, strips->text);
    if (status == NC_OK)
        status = nc_infonce_copy_rows(backend, (const nc_bfloat16 *)image, columns, n->width,
                                      columns, strips->step, false, strips->image);
    return status;
}

int nc_infonce_check(const char *operation, const struct nc_infonce *n)
{
    uintptr_t places = reinterpret_cast<uintptr_t>(n->text) | reinterpret_cast<uintptr_t>(n->image);
    if (n->type == NC_BFLOAT16 && n->width % 8 == 0 && places % 16)
        return nc_error(NC_FAILED, "%s: text and image must start at multiples of 16 bytes",
                        operation);
    return NC_OK;
}
