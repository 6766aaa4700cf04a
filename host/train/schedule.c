/* The learning rate of each step. */
#include "nclip/train/train.h"

#include <math.h>

double nc_learning_rate(const struct nc_config *config, uint64_t step, uint64_t total)
{
    uint64_t batches = total / config->epochs; /* of an epoch */
    double rate = config->learning_rate;
    if (config->rate_decay != 1 && batches)
        rate *= pow(config->rate_decay, (double)(step / batches));
    if (step < config->warmup_steps)
        return rate * (double)(step + 1) / (double)config->warmup_steps;
    if (config->schedule == NC_SCHEDULE_CONSTANT || total <= config->warmup_steps)
        return rate;
    double progress =
        (double)(step - config->warmup_steps) / (double)(total - config->warmup_steps);
    return 0.5 * (1.0 + cos(M_PI * progress)) * rate;
}
