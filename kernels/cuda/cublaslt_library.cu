/* Loading cuBLASLt (cublaslt_library.h). */
#include "cublaslt_library.h"

#include "nclip/error.h"

#include <dlfcn.h>

#define TEXT_OF(number) #number
#define TEXT(number) TEXT_OF(number)
#define SONAME "libcublasLt.so." TEXT(CUBLAS_VER_MAJOR)

int nc_cublaslt_load(const struct nc_cublaslt **out)
{
    static struct nc_cublaslt library;
    static bool loaded;
    *out = &library;
    if (loaded)
        return NC_OK;
    /* Where the loader looks, then where this program was built with it. */
    void *handle = dlopen(SONAME, RTLD_NOW | RTLD_LOCAL);
    if (!handle)
        handle = dlopen(NCLIP_CUBLASLT_FOLDER "/" SONAME, RTLD_NOW | RTLD_LOCAL);
    if (!handle)
        return nc_error(NC_FAILED,
                        "cuda: " SONAME
                        " was found neither by the loader nor in %s; install CUDA's "
                        "libraries or add their folder to LD_LIBRARY_PATH",
                        NCLIP_CUBLASLT_FOLDER);
#define LOAD(name)                                                                                 \
    library.name = reinterpret_cast<decltype(library.name)>(dlsym(handle, #name));                 \
    if (!library.name)                                                                             \
        return nc_error(NC_FAILED, "cuda: " SONAME " has no " #name);
    NC_CUBLASLT_FUNCTIONS(LOAD)
#undef LOAD
    loaded = true;
    return NC_OK;
}
