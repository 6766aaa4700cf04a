/* configs/prompts/NAME.txt, compiled in by host/support/built_in.cmake; both end with NULL. */
#ifndef NCLIP_HOST_CHAT_BUILT_IN_H
#define NCLIP_HOST_CHAT_BUILT_IN_H

extern const char *const nc_prompt_names[];
extern const char *const nc_prompt_texts[];

#endif
