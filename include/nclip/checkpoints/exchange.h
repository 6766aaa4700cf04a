/* A model in the forms that other programs read: export, import, and the blend of two.
 *
 *     hf                  transformers' CLIPModel: both towers
 *     hf-text             CLIPTextModel: the text tower, for diffusers' text_encoder
 *     hf-text-projection  CLIPTextModelWithProjection, for SDXL's text_encoder_2
 *     open_clip           open_clip's state dict and config, for create_model_and_transforms
 *     openai              OpenAI's state dict, for clip.model.build_model
 *
 * Which tensor has which name in which form is said by the table of parameters (nclip/model/parameters.h):
 * OpenAI and open_clip keep query, key and value as one tensor, and projections transposed.
 * Tensors keep their type and their bytes unless another type is asked for: there and back gives
 * the same bytes.
 *
 * What a form cannot say is refused. open_clip has one activation for both towers. OpenAI's
 * readers take heads of 64, an mlp of four times the width, QuickGELU, a layernorm epsilon of
 * 1e-5, the largest id as end of text, CLIP's own preprocessing and pictures of whole patches.
 *
 * The end of text: {"pool_type": "eos", "eos_id"} of open_clip is the first token that is
 * eos_token_id (NC_END_FIRST), "argmax" the largest id (NC_END_ARGMAX, eos_token_id 2). A form
 * that says neither means the largest id; with CLIP's own vocabulary of 49408 that is read and
 * written as eos_token_id 49407, which is the same token of every caption.
 */
#ifndef NCLIP_CHECKPOINTS_EXCHANGE_H
#define NCLIP_CHECKPOINTS_EXCHANGE_H

#include "nclip/checkpoints/folder.h"

#include <stdbool.h>

enum nc_format {
    NC_FORMAT_HF,
    NC_FORMAT_HF_TEXT,
    NC_FORMAT_HF_TEXT_PROJECTION,
    NC_FORMAT_OPEN_CLIP,
    NC_FORMAT_OPENAI,
};

/* The names of the formats, in the enum's order, ending with NULL. */
extern const char *const nc_format_names[];

/* Writes a complete folder (as nc_model_save() does: it appears when complete), with config
 * and tokenizer files; a model without tokenizer files has none to give. `type` is the type of
 * all parameters; NULL: as they are stored. What the format cannot say is NC_BAD_INPUT. */
int nc_model_export(const struct nc_model *model, enum nc_format format, const enum nc_type *type,
                    const char *folder);

/* Puts the text tower back into the checkpoint that it comes from: `original` is a file of weights,
 * or a folder with one, by the names of `format` (NC_FORMAT_HF or NC_FORMAT_OPEN_CLIP, with or
 * without a custom text tower). The text tower's tensors and the logit scale are the model's, of
 * `type` or as they are stored; all others, whatever they are, and the original's config, tokenizer
 * and preprocessing files are copied byte for byte, but for the "eos_id" that open_clip 4 asks for and
 * that a config of open_clip 3 may lack. A logit_bias for which the original has no place stays
 * behind. NC_BAD_INPUT names a tensor of another shape, and an original that lacks some of the text
 * tower. */
int nc_model_graft(const struct nc_model *model, enum nc_format format, const char *original,
                   const enum nc_type *type, const char *folder);

struct nc_embedding_store;

enum nc_origin {
    NC_ORIGIN_DETECT, /* open_clip_config.json is open_clip's; the tensors input_resolution,
                         context_length and vocab_size are OpenAI's; without either it is an
                         error, since the activation would be a guess */
    NC_ORIGIN_OPEN_CLIP,
    NC_ORIGIN_OPENAI,
};

struct nc_import_options {
    enum nc_origin origin;
    const char *config;       /* open_clip_config.json; NULL: the one beside the weights */
    const char *tokenizer;    /* folder with tokenizer files; NULL: that of the weights */
    bool no_tokenizer;        /* none is taken, whatever lies there */
    const enum nc_type *type; /* of all parameters; NULL: as they are stored */
    bool text_only; /* the text tower and the logit scale alone, whatever the vision tower is. What
                       is written is a CLIPTextModelWithProjection with a logit_scale beside it */
    const struct nc_embedding_store *embeddings; /* with text_only: those that the user says are of
                                                    this model's vision tower; NULL: none. Of
                                                    another dimension: NC_BAD_INPUT */
};

/* From a file of weights (nclip/checkpoints/tensors.h), or a folder with one, to a Hugging Face
 * folder. Every tensor must be known, and be of the shape that the others and the config ask for. *has_tokenizer tells whether
 * tokenizer files came with it: without them texts cannot be encoded. Where open_clip cleans texts before
 * that tokenizer, its tokenizer_config.json is told so (nclip/tokenizer/tokenizer.h), and nclip does. */
int nc_model_import(const char *path, const struct nc_import_options *options, const char *folder,
                    bool *has_tokenizer);

/* All that nc_model_import() would refuse, without writing anything; and the shape that it finds. */
int nc_model_import_check(const char *path, const struct nc_import_options *options,
                          struct nc_model_shape *shape, bool *has_tokenizer);

/* Weight interpolation (Wortsman et al. 2022, "Robust fine-tuning of zero-shot models"):
 * (1 - alpha) x base + alpha x tuned, of every parameter, 0 <= alpha <= 1. Computed in fp32 and
 * stored as fp32 (`type`: as that); a tensor that is the same in both is copied as it is in `base`
 * (`type` not NULL: converted). 0 gives base and 1 gives tuned exactly. The two must have
 * the same shape, activations and end of text; a logit_bias that one of them alone has is the
 * merged model's (and given to the other). The rest of the folder is tuned's, with "merge.json":
 * alpha and the two folders. */
int nc_model_merge(struct nc_model *base, struct nc_model *tuned, double alpha,
                   const enum nc_type *type, const char *folder);

#endif
