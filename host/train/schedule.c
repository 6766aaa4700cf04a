/* The learning rate of each step. */
#include "nclip/train/train.h"

#include <math.h>

double nc_learning_rate(const struct nc_config *config, uint64_t step, uint64_t total)
{
    if (step < config->warmup_steps)
        return config->learning_rate * (double)(step + 1) / (double)config->warmup_steps;
    if (config->schedule == NC_SCHEDULE_CONSTANT || total <= config->warmup_steps)
        return config->learning_rate;
    double progress =
        (double)(step - config->warmup_steps) / (double)(total - config->warmup_steps);
    return 0.5 * (1.0 + cos(M_PI * progress)) * config->learning_rate;
}
