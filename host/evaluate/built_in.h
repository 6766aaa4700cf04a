/* The benchmarks' texts in configs/ (zeroshot/imagenet.txt, zeroshot/templates.txt, celeba.txt,
 * benchmarks.json), compiled in by host/support/built_in.cmake under their file names; both end
 * with NULL. */
#ifndef NCLIP_HOST_EVALUATE_BUILT_IN_H
#define NCLIP_HOST_EVALUATE_BUILT_IN_H

extern const char *const nc_benchmark_file_names[];
extern const char *const nc_benchmark_file_texts[];

#endif
