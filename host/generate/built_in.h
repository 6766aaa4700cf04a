/* configs/prompts/NAME.txt and configs/words/NAME.txt, compiled in by host/support/built_in.cmake;
 * all end with NULL. */
#ifndef NCLIP_HOST_GENERATE_BUILT_IN_H
#define NCLIP_HOST_GENERATE_BUILT_IN_H

extern const char *const nc_prompt_names[];
extern const char *const nc_prompt_texts[];
extern const char *const nc_word_list_names[];
extern const char *const nc_word_list_texts[];

#endif
