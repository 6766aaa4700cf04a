/* Where a caption ends, and how it is laid into a batch: as the tower's mask and pooling ask for. */
#include "nclip/model/towers.h"

/* The place that the features are read at; of NC_END_LAST it is not among the tokens. */
static size_t read_at(const struct nc_model_shape *shape, const int32_t *tokens, size_t count)
{
    if (shape->end_rule == NC_END_LAST)
        return shape->context - 1;
    if (shape->end_rule == NC_END_FIRST) {
        for (size_t i = 0; i < count; i++)
            if (tokens[i] == shape->end_token)
                return i;
        /* Where padding begins; transformers reads argmax of an all-false mask else: the first. */
        return shape->end_token == shape->pad_token && count < shape->context ? count : 0;
    }
    if (!count)
        return 0;
    size_t best = 0;
    for (size_t i = 1; i < count; i++)
        if (tokens[i] > tokens[best])
            best = i;
    bool padded = nc_shape_is_padded(shape) && count < shape->context;
    return padded && shape->pad_token > tokens[best] ? count : best;
}

size_t nc_caption_end(const struct nc_model_shape *shape, const int32_t *tokens, size_t count)
{
    if (!count)
        return 0;
    size_t end = read_at(shape, tokens, count) + 1;
    return shape->mask == NC_MASK_CAUSAL && end < count ? end : count;
}

size_t nc_caption_rows(const struct nc_model_shape *shape, const int32_t *tokens, size_t count)
{
    if (nc_shape_is_padded(shape))
        return shape->context;
    size_t end = count ? read_at(shape, tokens, count) + 1 : 0;
    return shape->mask == NC_MASK_CAUSAL || end > count ? end : count;
}

int nc_caption_pack(const struct nc_model_shape *shape, const int32_t *tokens, size_t count,
                    bool share_prefixes, struct nc_packing *packing)
{
    size_t rows = nc_caption_rows(shape, tokens, count);
    if (shape->mask == NC_MASK_CAUSAL && rows <= count)
        return nc_packing_add(packing, tokens, rows, share_prefixes);
    return nc_packing_add_filled(packing, tokens, count, rows, shape->pad_token,
                                 read_at(shape, tokens, count));
}
