/* configs/words/NAME.txt, compiled in by host/support/built_in.cmake; both end with NULL. */
#ifndef NCLIP_HOST_NEGATION_BUILT_IN_H
#define NCLIP_HOST_NEGATION_BUILT_IN_H

extern const char *const nc_word_list_names[];
extern const char *const nc_word_list_texts[];

#endif
