/* Carries what a step has learnt over to one with a larger plan. */
#include "parts.h"

#include "nclip/support/error.h"

#include <stdlib.h>

static int allocate(const struct nc_step *step, struct nc_step_state *state)
{
    size_t parameters = step->table->tower_elements[NC_TOWER_TEXT], moments = step->moments;
    bool first = step->first && moments, second = step->second && moments;
    *state = (struct nc_step_state){
        .master = malloc(parameters * sizeof *state->master),
        .first = first ? malloc(moments * sizeof *state->first) : NULL,
        .second = second ? malloc(moments * sizeof *state->second) : NULL, .moments = moments};
    return state->master && (state->first || !first) && (state->second || !second)
               ? NC_OK : nc_error(NC_FAILED, "train: no memory");
}

int nc_step_take_state(struct nc_step *step, struct nc_step_state *state)
{
    struct nc_ops *ops = step->ops;
    size_t bytes = step->moments * sizeof(float);
    int status = allocate(step, state);
    if (status == NC_OK)
        status = ops->download(ops->backend, state->master, step->master,
                               step->table->tower_elements[NC_TOWER_TEXT] * sizeof(float));
    if (status == NC_OK && state->first)
        status = ops->download(ops->backend, state->first, step->first, bytes);
    if (status == NC_OK && state->second)
        status = ops->download(ops->backend, state->second, step->second, bytes);
    return status;
}

int nc_step_put_state(struct nc_step *step, const struct nc_step_state *state)
{
    struct nc_ops *ops = step->ops;
    size_t bytes = step->moments * sizeof(float);
    if (step->moments != state->moments)
        return nc_error(NC_FAILED, "train: the moments of another step");
    int status = nc_step_set_parameters(step, state->master);
    if (status == NC_OK && state->first)
        status = ops->upload(ops->backend, step->first, state->first, bytes);
    if (status == NC_OK && state->second)
        status = ops->upload(ops->backend, step->second, state->second, bytes);
    return status == NC_OK ? ops->synchronize(ops->backend) : status;
}

void nc_step_state_free(struct nc_step_state *state)
{
    free(state->master);
    free(state->first);
    free(state->second);
    *state = (struct nc_step_state){0};
}
