/* The model that is meant where a run may be given. */
#ifndef NCLIP_HOST_CLI_MODEL_FOLDER_H
#define NCLIP_HOST_CLI_MODEL_FOLDER_H

/* RUN/best when `folder` is a run and no model itself, else the folder. The caller frees it; NULL
 * without memory. */
char *model_folder(const char *folder);

#endif
