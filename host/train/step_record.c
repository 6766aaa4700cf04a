#include "step_parts.h"

#include "nclip/error.h"

int nc_step_record(struct nc_step *step, const struct nc_part_key *key,
                   int (*body)(struct nc_step *step, void *context), void *context)
{
    struct nc_ops *ops = step->ops;
    if (!ops->record_begin)
        return body(step, context);
    enum nc_recording recording;
    int status = ops->record_begin(ops->backend, key, sizeof *key, &recording);
    if (status != NC_OK || recording == NC_REPLAYED)
        return status;
    status = body(step, context);
    int ended = ops->record_end(ops->backend); /* also after an error: the queue must go on */
    return status == NC_OK ? ended : status;
}
