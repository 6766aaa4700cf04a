#include "nccl_library.h"

#include "nclip/error.h"

#include <dlfcn.h>
#include <stdbool.h>

#define SONAME "libnccl.so.2"

int nc_nccl_load(const struct nc_nccl **out)
{
    static struct nc_nccl library;
    static bool loaded;
    *out = &library;
    if (loaded)
        return NC_OK;
    /* Where the loader looks, then where this program was built with it. */
    void *handle = dlopen(SONAME, RTLD_NOW | RTLD_LOCAL);
    if (!handle)
        handle = dlopen(NCLIP_NCCL_FOLDER "/" SONAME, RTLD_NOW | RTLD_LOCAL);
    if (!handle)
        return nc_error(NC_FAILED,
                        "nccl: " SONAME " was found neither by the loader nor in %s; install it or "
                        "add its folder to LD_LIBRARY_PATH",
                        NCLIP_NCCL_FOLDER);
#define LOAD(name)                                                                                 \
    library.name = (__typeof__(library.name))dlsym(handle, #name);                                 \
    if (!library.name)                                                                             \
        return nc_error(NC_FAILED, "nccl: " SONAME " has no " #name "; it must be 2.14 or newer");
    NC_NCCL_FUNCTIONS(LOAD)
#undef LOAD
    loaded = true;
    return NC_OK;
}
