/* A model's folder on disk: opened, loaded, saved, described.
 *
 * The folder is Hugging Face's: config.json, model.safetensors (or sharded:
 * model.safetensors.index.json), tokenizer files, preprocessor_config.json.
 * Tensors are fp32, fp16 or bf16 in the file and fp32 in memory.
 */
#ifndef NCLIP_CHECKPOINTS_FOLDER_H
#define NCLIP_CHECKPOINTS_FOLDER_H

#include "nclip/model/parameters.h"
#include "nclip/support/types.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Reads config.json: of a CLIPModel, or of a CLIPTextModelWithProjection ("model_type":
 * "clip_text_model"), which has no vision tower. Missing keys take the defaults of transformers' CLIPConfig;
 * `text_config_dict` and `vision_config_dict` of old files go before `text_config`
 * and `vision_config`, as there. Values that cannot be, or that nclip does not
 * compute (hidden_act other than quick_gelu and gelu, heads outside 32 .. 128), are
 * NC_BAD_INPUT and named. */
int nc_model_shape_read(const char *config_path, struct nc_model_shape *shape);

/* A model folder, opened: shape, table, and where each tensor lies. Opening reads
 * headers only. Every tensor that the table names must be there with the right
 * shape: a missing one is NC_BAD_INPUT, and the message names it (and how many
 * more). Tensors that no row names are listed in nc_model_unknown, except the
 * position_ids buffers that old checkpoints carry. */
struct nc_model;
int nc_model_open(const char *folder, struct nc_model **model);
void nc_model_close(struct nc_model *model);

/* Gives a model that has no logit_bias one of this value, as a sigmoid loss needs it: from then on
 * its table has the row, and nc_model_save() writes the tensor, by which the folder is known when it
 * is opened again. Comes before anything is made of the table, which is made anew. */
int nc_model_add_logit_bias(struct nc_model *model, float value);

const char *nc_model_folder(const struct nc_model *model);
const struct nc_model_shape *nc_model_shape(const struct nc_model *model);
const struct nc_parameter_table *nc_model_table(const struct nc_model *model);
size_t nc_model_unknown(const struct nc_model *model, const char *const **names);
/* The type most parameters of the tower have in the file. */
enum nc_type nc_model_file_type(const struct nc_model *model, enum nc_tower tower);

/* The logarithm that cosines are multiplied by the exponential of, as the file has it. */
float nc_model_logit_scale(const struct nc_model *model);

/* Fills a tower's buffer (tower_elements floats; padding is zeroed). Refuses
 * a non-finite value by naming its tensor. */
int nc_model_load(const struct nc_model *model, enum nc_tower tower, float *parameters);

/* NC_OK when the model has a vision tower; else NC_BAD_INPUT, which says so. */
int nc_model_need_vision(const struct nc_model *model);

/* A fingerprint of what makes an image embedding: the vision tower's parameters
 * as they lie in the file, and its shape. 16 hex digits. Two folders with the
 * same vision tower agree, whatever their text tower. Reads the whole tower once.
 * Of a model without a vision tower it is that of the embeddings that its user named when it was
 * imported; NC_BAD_INPUT when none were. */
int nc_model_vision_hash(const struct nc_model *model, char hash[17]);

/* Writes a complete Hugging Face folder at `folder` (which must not exist, or be
 * empty; NC_USAGE otherwise). It is staged beside it, as "<folder>.partial-<pid>",
 * and appears by rename when complete; a failure leaves nothing behind.
 *   model.safetensors  one file, tensors in the source's order (wider types first, when
 *                      types mix); the text tower's come from `text_parameters` as
 *                      `type`, all others are copied byte for byte
 *   config.json        copied; its dtype follows when the text tower's type changed
 *                      (fp32 when the towers then differ: it holds both exactly)
 *   tokenizer and preprocessor files are copied where there are any.
 * Memory: a few MiB. A value that is not finite as `type` is NC_FAILED and names
 * its tensor. */
int nc_model_save(const struct nc_model *model, const char *folder, const float *text_parameters,
                  enum nc_type type);

/* `nclip info MODEL`: what is in it, for people (or one JSON object); with
 * `parameters` each row of the table too. Reads the vision tower, for its hash, and
 * merge.json, where nc_model_merge() wrote one. */
int nc_model_describe(const struct nc_model *model, FILE *out, bool json, bool parameters);

#ifdef __cplusplus
}
#endif
#endif
