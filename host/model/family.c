/* The families' rows. Sources: transformers' configuration_*.py and modeling_*.py of clip, metaclip_2,
 * siglip and siglip2. */
#include "nclip/model/family.h"

#define CLIP_DEFAULTS(name)                                \
    .family = name, .text = {512, 12, 8, 2048, NC_QUICK_GELU, 1e-5f},       \
    .vision = {768, 12, 12, 3072, NC_QUICK_GELU, 1e-5f}, .embedding = 512,  \
    .vocabulary = 49408, .context = 77, .end_token = 49407,                 \
    .start_token = 49406, .pad_token = 1, .image_size = 224,                \
    .patch_size = 32, .channels = 3, .logit_scale_initial = 2.6592f

#define SIGLIP_DEFAULTS(name)                              \
    .family = name, .text = {768, 12, 12, 3072, NC_GELU_TANH, 1e-6f},       \
    .vocabulary = 32000, .context = 64, .mask = NC_MASK_NONE,               \
    .end_rule = NC_END_LAST, .end_token = 49407, .start_token = 49406,      \
    .pad_token = 1, .projection_bias = true, .logit_bias = true

const struct nc_family nc_families[NC_FAMILIES] = {
    [NC_FAMILY_CLIP] = {
        .model_type = "clip",
        .text_type = "clip_text_model",
        .vision_type = "clip_vision_model",
        .classes = {"CLIPModel", "CLIPTextModel", "CLIPTextModelWithProjection"},
        .has_vision = true,
        .argmax_is_two = true,
        .end_rules = {[NC_END_ARGMAX] = true, [NC_END_FIRST] = true},
        .defaults = {CLIP_DEFAULTS(NC_FAMILY_CLIP)},
        .embedding_key = "projection_dim",
        .projection = "text_projection.weight",
        .projection_bias = "text_projection.bias",
    },
    [NC_FAMILY_METACLIP_2] = {
        .model_type = "metaclip_2",
        .text_type = "metaclip_2_text_model",
        .vision_type = "metaclip_2_vision_model",
        .classes = {"MetaClip2Model", "MetaClip2TextModel", "MetaClip2TextModelWithProjection"},
        .has_vision = true,
        .end_rules = {[NC_END_FIRST] = true},
        .defaults = {CLIP_DEFAULTS(NC_FAMILY_METACLIP_2)},
        .embedding_key = "projection_dim",
        .projection = "text_projection.weight",
        .projection_bias = "text_projection.bias",
    },
    [NC_FAMILY_SIGLIP] = {
        .model_type = "siglip",
        .text_type = "siglip_text_model",
        .vision_type = "siglip_vision_model",
        .classes = {"SiglipModel", "SiglipTextModel", "SiglipTextModel"},
        .pads_by_tokenizer = true,
        .scalars_in_arrays = true,
        .end_rules = {[NC_END_LAST] = true},
        .defaults = {SIGLIP_DEFAULTS(NC_FAMILY_SIGLIP)},
        .embedding_key = "projection_size",
        .projection = "text_model.head.weight",
        .projection_bias = "text_model.head.bias",
    },
    [NC_FAMILY_SIGLIP_2] = {
        .model_type = "siglip2",
        .text_type = "siglip2_text_model",
        .vision_type = "siglip2_vision_model",
        .classes = {"Siglip2Model", "Siglip2TextModel", "Siglip2TextModel"},
        .pads_by_tokenizer = true,
        .scalars_in_arrays = true,
        .end_rules = {[NC_END_LAST] = true},
        .defaults = {SIGLIP_DEFAULTS(NC_FAMILY_SIGLIP_2)},
        .embedding_key = "projection_size",
        .projection = "text_model.head.weight",
        .projection_bias = "text_model.head.bias",
    },
    [NC_FAMILY_OTHER] = {
        .text_type = "nclip_text_model",
        .classes = {"NclipTextModel", "NclipTextModel", "NclipTextModel"},
        .end_rules = {true, true, true},
        .defaults = {CLIP_DEFAULTS(NC_FAMILY_OTHER)},
        .embedding_key = "projection_dim",
        .projection = "text_projection.weight",
        .projection_bias = "text_projection.bias",
    },
};

static bool fits(const struct nc_family *family, const struct nc_model_shape *shape)
{
    const struct nc_model_shape *facts = &family->defaults;
    if (facts->family == NC_FAMILY_OTHER)
        return true;
    bool ambiguous = family->argmax_is_two && shape->end_rule == NC_END_FIRST && shape->end_token == 2;
    return shape->mask == facts->mask && shape->projection_bias == facts->projection_bias &&
           (shape->logit_bias || !facts->logit_bias) && family->end_rules[shape->end_rule] &&
           !ambiguous && (family->has_vision || !nc_shape_has_vision(shape));
}

enum nc_family_name nc_family_for(const struct nc_model_shape *shape)
{
    int name = 0;
    while (!fits(&nc_families[name], shape))
        name++;
    return (enum nc_family_name)name;
}
