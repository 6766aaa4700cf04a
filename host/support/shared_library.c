/* Opens a shared library and looks up its functions. */
#include "nclip/support/shared_library.h"

#include "nclip/support/error.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

static void *open_library(const char *soname, const char *folder)
{
    void *handle = dlopen(soname, RTLD_NOW | RTLD_LOCAL);
    char path[4096];
    if (handle || !folder ||
        snprintf(path, sizeof path, "%s/%s", folder, soname) >= (int)sizeof path)
        return handle;
    return dlopen(path, RTLD_NOW | RTLD_LOCAL);
}

int nc_shared_library_load(const char *user, const char *soname, const char *folder,
                           const char *const *names, size_t count, void *functions)
{
    void *handle = open_library(soname, folder);
    if (!handle)
        return nc_error(NC_FAILED,
                        "%s: %s was not found where the loader looks%s%s; install it or add its "
                        "folder to LD_LIBRARY_PATH",
                        user, soname, folder ? ", nor in " : "", folder ? folder : "");
    for (size_t i = 0; i < count; i++)
        if (!dlsym(handle, names[i])) {
            dlclose(handle);
            return nc_error(NC_FAILED, "%s: %s has no %s; a newer one is needed", user, soname,
                            names[i]);
        }
    for (size_t i = 0; i < count; i++) {
        void *function = dlsym(handle, names[i]);
        memcpy((char *)functions + i * sizeof function, &function, sizeof function);
    }
    return NC_OK;
}
