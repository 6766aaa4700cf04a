/* The model that is meant where a run may be given. */
#include "model_folder.h"

#include "nclip/support/files.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

char *model_folder(const char *folder)
{
    char *own = nc_path_join(folder, "config.json"), *best = nc_path_join(folder, "best");
    char *inner = best ? nc_path_join(best, "config.json") : NULL;
    bool run = own && inner && !nc_file_exists(own) && nc_file_exists(inner);
    char *result = run ? strdup(best) : strdup(folder);
    free(own);
    free(best);
    free(inner);
    return result;
}
