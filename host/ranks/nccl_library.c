/* Loads libnccl.so.2 and finds its functions. */
#include "nccl_library.h"

#include "nclip/support/error.h"

#include <stdbool.h>

int nc_nccl_load(const struct nc_nccl **out)
{
    static const char *const names[] = {NC_NCCL_FUNCTIONS(NC_SHARED_LIBRARY_NAME)};
    static struct nc_nccl library;
    static bool loaded;
    int status = NC_OK;
    *out = &library;
    if (!loaded) /* 2.14 or newer has them all */
        status = nc_shared_library_load("nccl", "libnccl.so.2", NCLIP_NCCL_FOLDER, names,
                                        sizeof names / sizeof *names, &library);
    loaded = status == NC_OK;
    return status;
}
