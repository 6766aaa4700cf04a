/* A checkpoint: a complete model folder, with what training needs to go on as if it had never
 * stopped.
 *
 *     config.json, model.safetensors, tokenizer files    a Hugging Face folder
 *     optimizer.safetensors    first.<parameter>, second.<parameter> of every trained one, fp32
 *     training.json            where training stands
 */
#ifndef NCLIP_TRAIN_CHECKPOINT_H
#define NCLIP_TRAIN_CHECKPOINT_H

#include "step/step.h"

/* Where training stands: `step` updates are done, `batch` of them in epoch `epoch` (from 0). */
struct nc_position {
    uint64_t step, epoch, batch;
    double best_validation_loss; /* INFINITY before the first validation */
    uint64_t best_epoch;         /* from 1; 0: none */
    double epoch_loss;           /* sum over this epoch's batches, for the printed mean */
};

/* All ranks call saving and loading; rank 0 alone opens files. */

/* Writes RUN/last in one step. `config_text` and `examples`, the fingerprint of what is trained on,
 * are kept, so that another run's checkpoint is not continued by mistake. */
int nc_checkpoint_save(const char *run_folder, const struct nc_model *model, struct nc_step *step,
                       uint64_t examples, const char *config_text,
                       const struct nc_position *position);

/* Makes RUN/best what RUN/last is now; no tensor is written twice where the file
 * system has hard links. */
int nc_checkpoint_promote(const char *run_folder);

/* Where the file system cannot exchange folders, a kill while a checkpoint was published leaves none
 * under its name: a complete one that was staged takes it, else the one that stepped aside. */
int nc_checkpoint_recover(const char *run_folder);

/* Removes the half-written checkpoints of a run that was killed. */
int nc_checkpoint_clear(const char *run_folder);

/* Where RUN/last stands, alone: rank 0 calls it. Otherwise as nc_checkpoint_load(). */
int nc_checkpoint_position(const char *run_folder, uint64_t examples, const char *config_text,
                           struct nc_position *position);

/* Loads RUN/last into `step` (parameters and moments) and `position`. A checkpoint of
 * another config or other captions is NC_BAD_INPUT and says what differs. */
int nc_checkpoint_load(const char *run_folder, struct nc_step *step,
                       uint64_t examples, const char *config_text,
                       struct nc_position *position);

#endif
