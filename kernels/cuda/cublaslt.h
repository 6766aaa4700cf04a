/* A product as it is described to cuBLASLt (cublaslt.cu), and the choice of the algorithm that
 * computes it (cublaslt_choice.cu). */
#ifndef NCLIP_KERNELS_CUDA_CUBLASLT_H
#define NCLIP_KERNELS_CUDA_CUBLASLT_H

#include "cublaslt_library.h"
#include "product.h"

enum {
    NC_LT_REMEMBERED = 256,     /* shapes, and buckets */
    NC_LT_CANDIDATES = 8,       /* algorithms that are asked for */
    NC_LT_WORKSPACE = 32 << 20, /* bytes; what NVIDIA recommends for Hopper */
    NC_LT_FEWEST_SUMMED = 16,   /* rows, for sums on the way: of one row wrong ones were seen */
};

/* All that the choice of an algorithm may depend on. */
struct nc_lt_shape {
    enum nc_cuda_product_kind kind;
    enum nc_type type, d_type;
    size_t rows, in, out;
    unsigned alignment; /* of all matrices, 16 at most */
    bool bias, addend, sums;
};

/* A shape's descriptors and algorithm. */
struct nc_lt_entry {
    struct nc_lt_shape shape;
    uint64_t last_use; /* 0: none is here */
    cublasLtMatmulDesc_t operation;
    cublasLtMatrixLayout_t a, b, d;
    cublasLtMatmulAlgo_t algorithm;
    bool fused; /* the product adds the bias, or makes the column sums, that the shape asks for */
};

/* What was chosen for a bucket of row counts. */
struct nc_lt_choice {
    struct nc_lt_shape shape; /* rows: the bucket's most */
    uint64_t last_use;
    cublasLtMatmulAlgo_t algorithm;
    bool fused;
};

struct nc_cuda_products {
    const struct nc_cublaslt *lt; /* the library */
    cublasLtHandle_t handle;
    cublasLtMatmulPreference_t preference;
    void *workspace;
    struct nc_lt_entry entries[NC_LT_REMEMBERED];
    struct nc_lt_choice choices[NC_LT_REMEMBERED];
    uint64_t clock;
    bool timing;
};

/* The one of this shape, or the one unused for longest, whose last_use then is not *found. */
template <typename T> static T *nc_lt_look_up(T *table, const struct nc_lt_shape *s, bool *found)
{
    T *oldest = &table[0];
    *found = true;
    for (size_t i = 0; i < NC_LT_REMEMBERED; i++) {
        const struct nc_lt_shape *other = &table[i].shape;
        if (table[i].last_use && other->kind == s->kind && other->type == s->type &&
            other->d_type == s->d_type && other->rows == s->rows && other->in == s->in &&
            other->out == s->out && other->alignment == s->alignment && other->bias == s->bias &&
            other->addend == s->addend && other->sums == s->sums)
            return &table[i];
        if (table[i].last_use < oldest->last_use)
            oldest = &table[i];
    }
    *found = false;
    return oldest;
}

/* ---- cublaslt.cu ------------------------------------------------------------------------- */

int nc_lt_check(const struct nc_cuda_products *products, cublasStatus_t status,
                const struct nc_lt_shape *shape, const char *operation);

/* The descriptors of `shape`, without an algorithm; cleared also after an error. */
cublasStatus_t nc_lt_describe(const struct nc_cuda_products *products,
                              const struct nc_lt_shape *shape, bool fused,
                              struct nc_lt_entry *entry);
void nc_lt_clear(const struct nc_cuda_products *products, struct nc_lt_entry *entry);

/* Enqueues it. `d` and `sums` are those of `p`, or others while algorithms are compared. */
cublasStatus_t nc_lt_multiply(struct nc_backend *backend, const struct nc_cuda_products *products,
                              struct nc_lt_entry *entry, const cublasLtMatmulAlgo_t *algorithm,
                              const struct nc_cuda_product *p, void *d, void *sums);

/* ---- cublaslt_choice.cu ------------------------------------------------------------------ */

/* The descriptors and the algorithm of `shape`, which `p` is the first to have; `entry` is to be
 * cleared also after an error. */
int nc_lt_choose(struct nc_backend *backend, struct nc_cuda_products *products,
                 const struct nc_lt_shape *shape, const struct nc_cuda_product *p,
                 struct nc_lt_entry *entry);

#endif
