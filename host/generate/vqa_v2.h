/* VQA v2's two files. */
#ifndef NCLIP_VQA_V2_H
#define NCLIP_VQA_V2_H

#include "nclip/vqa.h"

struct vqa_texts;

/* Fills `questions` from the text of the questions' file and the file `annotations`, both as in
 * nc_vqa_questions_load(). Its strings lie in *texts, set also when it fails. */
int vqa_v2_read(const char *path, const char *text, size_t size, const char *annotations,
                double agreement, struct nc_vqa_questions *questions, struct vqa_texts **texts);
void vqa_texts_free(struct vqa_texts *texts); /* NULL is allowed */

#endif
