/* What an object that carries a caption says, for all readers of captions. */
#ifndef NCLIP_HOST_CAPTIONS_RECORD_H
#define NCLIP_HOST_CAPTIONS_RECORD_H

#include "nclip/captions/records.h"
#include "nclip/formats/json.h"

/* Caption and contradiction of the object that `where` names; they lie in it. */
int captions_record_texts(const char *where, const cJSON *object, struct nc_caption_record *record);

/* Behind these: original, absence, paraphrase and choices, whose list is the parser's. */
int captions_record_roles(const char *where, const cJSON *object, struct nc_caption_parser *parser,
                          struct nc_caption_record *record);

/* The keys of its picture and its distractor, as JSONL has them. */
int captions_record_pictures(const char *where, const cJSON *object,
                             struct nc_caption_record *record);

/* Refuses what is no UTF-8. `key` names the member of the object that `where` names. */
int captions_check_text(const char *where, const char *key, const char *text);
int captions_check_picture(const char *where, const char *name); /* is not empty */

#endif
