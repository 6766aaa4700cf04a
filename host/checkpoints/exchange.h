/* The config files of the formats that models are exported to and imported from. */
#ifndef NCLIP_HOST_CHECKPOINTS_EXCHANGE_H
#define NCLIP_HOST_CHECKPOINTS_EXCHANGE_H

#include "folder.h"
#include "nclip/checkpoints/exchange.h"
#include "nclip/pictures/image.h"
#include "nclip/tokenizer/tokenizer.h"
#include "outputs.h"

enum {
    NC_CLIP_VOCABULARY = 49408, /* of every published CLIP */
    NC_CLIP_START = 49406,
    NC_CLIP_END = 49407,
};

#define NC_OPEN_CLIP_CONFIG "open_clip_config.json"
#define NC_STRETCHED_POSITIONS "positional_embedding_res" /* LongCLIP's */
#define NC_OPEN_CLIP_WEIGHTS "open_clip_model.safetensors"

/* Tensors in OpenAI's state dicts that are no parameters; each holds one whole number. */
enum { NC_OPENAI_FACTS = 3 };
extern const char
    *const nc_openai_facts[NC_OPENAI_FACTS]; /* input_resolution, context_length, vocab_size */

/* ---- Weights by OpenAI's and open_clip's names (foreign.c) ---- */

enum { NC_FOREIGN_NAME = 128 };

/* The folder that `path` is or is in, and the file of weights (or the folder of shards). The caller
 * frees both. */
int nc_foreign_files(const char *path, char **folder, char **weights);

/* What the names of the text tower's tensors begin with: "text." in open_clip's custom text towers,
 * else "". */
const char *nc_foreign_prefix(const struct nc_tensors *tensors);

/* The row's name there, in `name`, which is also returned. */
const char *nc_foreign_name(const char *prefix, const struct nc_parameter *row,
                            char name[NC_FOREIGN_NAME]);

/* Appends row `i` of the model's table as its tensor of that form: transposed where that form is,
 * and query with key and value (rows i + 1 and i + 2, which then append nothing). `type`: of what is
 * written; NULL: as it is stored. */
int nc_foreign_add(struct nc_outputs *outputs, const struct nc_model *model, size_t i,
                   const enum nc_type *type);

/* ---- Configs ---- */

/* config.json of a CLIPModel, CLIPTextModel or CLIPTextModelWithProjection. `embeddings`: the
 * fingerprint that a text tower without its vision tower keeps (nc_hf_embeddings_read), or NULL. */
int nc_hf_config_write(const char *path, const struct nc_model_shape *shape, enum nc_format format,
                       enum nc_type type, const char *embeddings);

/* open_clip_config.json. `own_tokenizer`: the folder's tokenizer files are to be used, not
 * open_clip's built-in one, after `cleaning`. NC_BAD_INPUT, naming `where`, for what it cannot say. */
int nc_open_clip_config_write(const char *where, const char *path,
                              const struct nc_model_shape *shape,
                              const struct nc_preprocess *preprocess, bool own_tokenizer,
                              enum nc_text_cleaning cleaning);

/* The shape and the preprocessing that it gives; with `text_only` those of the text tower, and
 * vision_cfg may be anything. The tensors are not looked at. A key that
 * makes another model than a Hugging Face CLIP is NC_BAD_INPUT and named. start_token and
 * pad_token are left alone. */
int nc_open_clip_config_read(const char *path, bool text_only, struct nc_model_shape *shape,
                             struct nc_preprocess *preprocess);

/* Bytes of the ending by which a path names a file of weights; 0: it does not. */
size_t nc_weights_ending(const char *path);

#endif
