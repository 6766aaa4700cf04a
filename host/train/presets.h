/* configs/NAME.yaml, compiled in by host/support/built_in.cmake; both end with NULL. */
#ifndef NCLIP_HOST_TRAIN_PRESETS_H
#define NCLIP_HOST_TRAIN_PRESETS_H

extern const char *const nc_preset_names[];
extern const char *const nc_preset_texts[];

#endif
