/* Votes and matrix fragments of a warp (PTX ISA, "Matrix Fragments for mma.m16n8k16" and
 * "ldmatrix"). */
#include "emulated/sums.h"
#include "kernels/cuda/device.h"

struct vote {
    bool value;
    uint32_t result;
};

static void count_votes(void *const lane[32], uint32_t living)
{
    uint32_t result = 0;
    for (int i = 0; i < 32; i++)
        if (living >> i & 1 && static_cast<vote *>(lane[i])->value)
            result |= 1u << i;
    for (int i = 0; i < 32; i++)
        if (living >> i & 1)
            static_cast<vote *>(lane[i])->result = result;
}

uint32_t nc_ballot(bool value, const char *file, int line)
{
    vote mine = {value, 0};
    nc_emulated_collective("nc_ballot", count_votes, &mine, file, line);
    return mine.result;
}

static void need_whole_warp(uint32_t living, const char *name, const char *file, int line)
{
    if (living != 0xffffffffu)
        nc_emulated_fail(file, line, "%s in a warp that lacks lanes", name);
}

/* ---- mma ----------------------------------------------------------------------------------- */

struct mma {
    float *c;
    const uint32_t *a, *b;
    const char *file;
    int line;
};

static float half_of(uint32_t packed, int which)
{
    return nc_bits_to_float(which ? packed & 0xffff0000u : packed << 16);
}

static void multiply(void *const lane[32], uint32_t living)
{
    float a[16][16], b[16][8];
    const mma *first = static_cast<const mma *>(lane[0]);
    need_whole_warp(living, "nc_mma_bf16", first ? first->file : nullptr, first ? first->line : 0);
    for (int i = 0; i < 32; i++) {
        const mma *m = static_cast<const mma *>(lane[i]);
        int group = i / 4, in_group = i % 4;
        for (int r = 0; r < 4; r++)
            for (int h = 0; h < 2; h++)
                a[group + r % 2 * 8][in_group * 2 + r / 2 * 8 + h] = half_of(m->a[r], h);
        for (int r = 0; r < 2; r++)
            for (int h = 0; h < 2; h++)
                b[in_group * 2 + r * 8 + h][group] = half_of(m->b[r], h);
    }
    float c[16][8];
    auto exchange = [&](bool out) {
        for (int i = 0; i < 32; i++)
            for (int r = 0; r < 4; r++) {
                float &here = c[i / 4 + r / 2 * 8][i % 4 * 2 + r % 2];
                float &there = static_cast<const mma *>(lane[i])->c[r];
                (out ? there : here) = out ? here : there;
            }
    };
    exchange(false);
    for (int row = 0; row < 16; row++)
        nc_emulated_add_in_tensor_cores(c[row], 8, b[0], 8, a[row], 16);
    exchange(true);
}

void nc_mma_bf16(float c[4], const uint32_t a[4], const uint32_t b[2], const char *file, int line)
{
    mma mine = {c, a, b, file, line};
    nc_emulated_collective("nc_mma_bf16", multiply, &mine, file, line);
}

/* ---- ldmatrix ------------------------------------------------------------------------------ */

struct matrices {
    uint32_t *r;
    const void *row;
    int count;
    bool transposed;
    const char *file;
    int line;
};

static void load_matrices(void *const lane[32], uint32_t living)
{
    const matrices *first = static_cast<const matrices *>(lane[0]);
    need_whole_warp(living, "nc_ldmatrix", first ? first->file : nullptr, first ? first->line : 0);
    for (int which = 0; which < first->count; which++) {
        uint16_t values[8][8];
        for (int row = 0; row < 8; row++) {
            const matrices *from = static_cast<const matrices *>(lane[which * 8 + row]);
            const unsigned char *at = static_cast<const unsigned char *>(from->row);
            nc_emulated_aligned(at, 16, from->file, from->line);
            if (at < nc_emulated_here.shared ||
                at + 16 > nc_emulated_here.shared + nc_emulated_here.shared_bytes)
                nc_emulated_fail(from->file, from->line,
                                 "nc_ldmatrix: lane %d reads outside of the block's shared memory",
                                 which * 8 + row);
            memcpy(values[row], at, 16);
        }
        for (int i = 0; i < 32; i++) {
            int row = i / 4, column = i % 4 * 2;
            uint32_t low = first->transposed ? values[column][row] : values[row][column];
            uint32_t high = first->transposed ? values[column + 1][row] : values[row][column + 1];
            static_cast<const matrices *>(lane[i])->r[which] = low | high << 16;
        }
    }
}

void nc_emulated_ldmatrix(uint32_t *r, const void *shared, int count, bool transposed,
                          const char *file, int line)
{
    if (nc_emulated_lane() < count * 8)
        nc_races_read(shared, 16, __builtin_return_address(0));
    matrices mine = {r, shared, count, transposed, file, line};
    nc_emulated_collective("nc_ldmatrix", load_matrices, &mine, file, line);
}
