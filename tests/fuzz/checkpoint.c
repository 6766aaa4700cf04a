/* A run's checkpoint: training.json and optimizer.safetensors beside the quick start's model. The step
 * is none that computes: a checkpoint whose moments are complete does not fit into an input. */
#include "fuzz.h"

#include "../../host/train/checkpoint.h"
#include "nclip/support/error.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MODEL "../configs/quickstart/model" /* tests/ is the working folder */

static struct nc_model *model;
static struct nc_step step;
static const struct nc_config config = {.optimizer = NC_OPTIMIZER_ADAMW};

static void set_up(void)
{
    char path[PATH_MAX], target[PATH_MAX];
    const char *const names[] = {"config.json", "model.safetensors"};
    if (nc_model_open(MODEL, &model) != NC_OK || nc_ops_create("cpu", 0, &step.ops) != NC_OK) {
        fprintf(stderr, "%s\n", nc_error_message());
        exit(1);
    }
    step.table = nc_model_table(model);
    step.config = &config;
    bool *trainable = malloc(step.table->count);
    memset(trainable, true, step.table->count);
    step.trainable = trainable;
    snprintf(path, sizeof path, "%s/last", fuzz_folder());
    mkdir(path, 0700);
    for (size_t i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%s/last/%s", fuzz_folder(), names[i]);
        snprintf(target, sizeof target, MODEL "/%s", names[i]);
        char *real = realpath(target, NULL);
        if (!real || symlink(real, path) != 0) {
            perror(path);
            exit(1);
        }
        free(real);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_part parts[2];
    struct nc_position position;
    if (!model)
        set_up();
    fuzz_cut(data, size, parts, 2);
    fuzz_file("last/training.json", parts[0].data, parts[0].size);
    fuzz_file("last/optimizer.safetensors", parts[1].data, parts[1].size);
    int status = nc_checkpoint_load(fuzz_folder(), &step, 0, "seed: 1\n", &position);
    fuzz_expect_sentence(status);
    if (status == NC_OK)
        abort();
    return 0;
}
