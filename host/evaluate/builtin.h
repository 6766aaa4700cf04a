/* The benchmarks' texts in configs/ (zeroshot/imagenet.txt, zeroshot/templates.txt, celeba.txt,
 * benchmarks.json), compiled in by builtin.cmake under their file names; both end with NULL. */
#ifndef NCLIP_HOST_EVALUATE_BUILTIN_H
#define NCLIP_HOST_EVALUATE_BUILTIN_H

extern const char *const nc_builtin_names[];
extern const char *const nc_builtin_texts[];

#endif
