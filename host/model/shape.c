/* Checks that nclip can compute a shape, and that no product of its sizes overflows. */
#include "nclip/model/shape.h"

#include "nclip/support/error.h"

#include <limits.h>

const char *const nc_activation_names[NC_ACTIVATIONS] = {"quick_gelu", "gelu", "gelu_pytorch_tanh"};
const char *const nc_end_rule_names[NC_END_RULES] = {"argmax", "first", "last"};
const char *const nc_mask_names[NC_MASKS] = {"causal", "none", "padding"};

/* Larger than any CLIP there is, and small enough that no product of them overflows. */
enum {
    LARGEST_WIDTH = 1 << 16,
    LARGEST_MLP = 1 << 18,
    LARGEST_CONTEXT = 1 << 16,
    LARGEST_IMAGE = 1 << 14,
    SMALLEST_HEAD = 32, /* what the attention kernels are made for */
    LARGEST_HEAD = 128,
};

struct limit {
    const char *key;
    size_t value, largest;
};

static int check_limits(const char *where, const char *section, const struct limit *limits,
                        size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (limits[i].value < 1 || limits[i].value > limits[i].largest)
            return nc_error(NC_BAD_INPUT, "%s: %s\"%s\" is %zu; nclip reads 1 to %zu", where,
                            section, limits[i].key, limits[i].value, limits[i].largest);
    return NC_OK;
}

static int check_tower(const char *where, const char *section, const struct nc_tower_shape *tower)
{
    const struct limit limits[] = {{"hidden_size", tower->width, LARGEST_WIDTH},
                                   {"num_hidden_layers", tower->layers, NC_MOST_LAYERS},
                                   {"num_attention_heads", tower->heads, LARGEST_WIDTH},
                                   {"intermediate_size", tower->mlp, LARGEST_MLP}};
    int status = check_limits(where, section, limits, 4);
    if (status != NC_OK)
        return status;
    if (tower->width % tower->heads != 0)
        return nc_error(NC_BAD_INPUT,
                        "%s: %s\"hidden_size\" %zu is no multiple of \"num_attention_heads\" %zu",
                        where, section, tower->width, tower->heads);
    size_t head = tower->width / tower->heads;
    if (head < SMALLEST_HEAD || head > LARGEST_HEAD)
        return nc_error(
            NC_BAD_INPUT,
            "%s: %sheads of %zu (\"hidden_size\" %zu / \"num_attention_heads\" %zu) are "
            "not supported; nclip computes heads of %d to %d",
            where, section, head, tower->width, tower->heads, SMALLEST_HEAD, LARGEST_HEAD);
    return NC_OK;
}

int nc_model_shape_check(const char *where, const struct nc_model_shape *shape)
{
    static const char text_section[] = "text_config: ", vision_section[] = "vision_config: ";
    const struct limit both = {"projection_dim", shape->embedding, LARGEST_WIDTH};
    const struct limit text[] = {{"vocab_size", shape->vocabulary, INT_MAX},
                                 {"max_position_embeddings", shape->context, LARGEST_CONTEXT}};
    const struct limit vision[] = {{"image_size", shape->image_size, LARGEST_IMAGE},
                                   {"patch_size", shape->patch_size, LARGEST_IMAGE}};
    int status = check_limits(where, "", &both, 1);
    if (status == NC_OK)
        status = check_limits(where, text_section, text, 2);
    bool has_vision = nc_shape_has_vision(shape);
    if (status == NC_OK && has_vision)
        status = check_limits(where, vision_section, vision, 2);
    if (status == NC_OK)
        status = check_tower(where, text_section, &shape->text);
    if (status == NC_OK && has_vision)
        status = check_tower(where, vision_section, &shape->vision);
    if (status != NC_OK)
        return status;
    if (shape->end_rule == NC_END_FIRST && (size_t)shape->end_token >= shape->vocabulary)
        return nc_error(
            NC_BAD_INPUT,
            "%s: %s\"eos_token_id\" %d lies outside the vocabulary of %zu tokens, so no "
            "caption could end",
            where, text_section, (int)shape->end_token, shape->vocabulary);
    if (shape->mask == NC_MASK_PADDING && shape->end_rule == NC_END_LAST)
        return nc_error(NC_BAD_INPUT,
                        "%s: %sa tower that does not see padding cannot be read at the last place of "
                        "its context", where, text_section);
    if (nc_shape_is_padded(shape) &&
        (shape->pad_token < 0 || (size_t)shape->pad_token >= shape->vocabulary))
        return nc_error(NC_BAD_INPUT,
                        "%s: %s\"pad_token_id\" %d lies outside the vocabulary of %zu tokens, but "
                        "this tower sees padding",
                        where, text_section, (int)shape->pad_token, shape->vocabulary);
    if (!has_vision)
        return NC_OK;
    if (shape->patch_size > shape->image_size)
        return nc_error(NC_BAD_INPUT, "%s: %s\"patch_size\" %zu is larger than \"image_size\" %zu",
                        where, vision_section, shape->patch_size, shape->image_size);
    if (shape->channels != 3)
        return nc_error(NC_BAD_INPUT, "%s: %s\"num_channels\" is %zu; nclip reads pictures of 3",
                        where, vision_section, shape->channels);
    return NC_OK;
}

