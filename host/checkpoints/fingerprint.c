/* The hash of a vision tower, by which a store knows the model that made it. */
#include "folder.h"

#include "nclip/support/error.h"

#include <string.h>
#include <xxhash.h>

/* XXH3 over a line of text that states the shape, then for each vision parameter,
 * in the table's order, a line with its name and type and its bytes as they lie
 * in the file. */

enum { CHUNK = 4 << 20 }; /* bytes */

int nc_model_vision_hash(const struct nc_model *model, char hash[17])
{
    const struct nc_model_shape *shape = &model->shape;
    const struct nc_tower_shape *vision = &shape->vision;
    char line[256];
    hash[0] = 0;
    if (!nc_shape_has_vision(shape)) {
        memcpy(hash, model->embeddings, sizeof model->embeddings);
        return *hash ? NC_OK
                     : nc_error(NC_BAD_INPUT,
                                "%s: has no vision tower, and nobody said which embeddings are of "
                                "its model: import it with --text-only --embeddings STORE",
                                model->folder);
    }
    XXH3_state_t *state = XXH3_createState();
    if (!state)
        return nc_error(NC_FAILED, "%s: no memory for its fingerprint", model->folder);
    XXH3_64bits_reset(state);
    int length =
        snprintf(line, sizeof line, "clip vision %zu %zu %zu %zu %s %a %zu %zu %zu %zu\n",
                 vision->width, vision->layers, vision->heads, vision->mlp,
                 nc_activation_names[vision->activation], (double)vision->epsilon,
                 shape->embedding, shape->image_size, shape->patch_size, shape->channels);
    XXH3_64bits_update(state, line, (size_t)length);
    for (size_t i = 0; i < model->table.count; i++) {
        const struct nc_parameter *row = &model->table.rows[i];
        const struct nc_tensor *tensor = model->sources[i];
        if (row->tower != NC_TOWER_VISION)
            continue;
        length = snprintf(line, sizeof line, "%s %s\n", row->name, tensor->type_name);
        XXH3_64bits_update(state, line, (size_t)length);
        for (size_t start = 0; start < tensor->bytes; start += CHUNK) {
            size_t size = tensor->bytes - start < CHUNK ? tensor->bytes - start : CHUNK;
            XXH3_64bits_update(state, tensor->data + start, size);
            nc_tensors_release(model->file, tensor, start, size);
        }
    }
    snprintf(hash, 17, "%016llx", (unsigned long long)XXH3_64bits_digest(state));
    XXH3_freeState(state);
    return NC_OK;
}
