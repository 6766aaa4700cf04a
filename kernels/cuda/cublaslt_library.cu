/* Loading cuBLASLt (cublaslt_library.h). */
#include "cublaslt_library.h"

#include "nclip/support/error.h"

#define TEXT_OF(number) #number
#define TEXT(number) TEXT_OF(number)

int nc_cublaslt_load(const struct nc_cublaslt **out)
{
    static const char *const names[] = {NC_CUBLASLT_FUNCTIONS(NC_SHARED_LIBRARY_NAME)};
    static struct nc_cublaslt library;
    static bool loaded;
    int status = NC_OK;
    *out = &library;
    if (!loaded)
        status = nc_shared_library_load("cuda", "libcublasLt.so." TEXT(CUBLAS_VER_MAJOR),
                                        NCLIP_CUBLASLT_FOLDER, names, sizeof names / sizeof *names,
                                        &library);
    loaded = status == NC_OK;
    return status;
}
