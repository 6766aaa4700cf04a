/* The reader of VQA v2's two files, questions and annotations. */
#ifndef NCLIP_HOST_GENERATE_VQA_V2_H
#define NCLIP_HOST_GENERATE_VQA_V2_H

#include "nclip/generate/vqa.h"
#include "nclip/support/text_pool.h"

/* Fills `questions` from the text of the questions' file and the file `annotations`, both as in
 * nc_vqa_questions_load(). Its strings lie in *texts, set also when it fails. */
int vqa_v2_read(const char *path, const char *text, size_t size, const char *annotations,
                double agreement, struct nc_vqa_questions *questions, struct nc_text_pool **texts);

#endif
