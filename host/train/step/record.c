/* Records the calls of a part of a step, or replays them where the backend has recorded them. */
#include "parts.h"

#include "nclip/support/error.h"

_Static_assert(sizeof(struct nc_part_key) <= NC_RECORDING_KEY, "the key of a part is too long");

int nc_step_record(struct nc_step *step, const struct nc_part_key *key,
                   int (*body)(struct nc_step *step, void *context), void *context)
{
    struct nc_ops *ops = step->ops;
    if (!ops->record_begin)
        return body(step, context);
    struct nc_part_key own = *key;
    own.owner = (uint64_t)(uintptr_t)step->numbers;
    enum nc_recording recording;
    int status = ops->record_begin(ops->backend, &own, sizeof own, &recording);
    if (status != NC_OK || recording == NC_REPLAYED)
        return status;
    status = body(step, context);
    if (status == NC_OK)
        return ops->record_end(ops->backend);
    ops->record_abandon(ops->backend);
    return status;
}
