/* Checks what a model answered: small models refuse, ramble, and forget half the caption. The
 * rules are for single sentences in English. */
#ifndef NCLIP_CHAT_QUALITY_H
#define NCLIP_CHAT_QUALITY_H

#include "nclip/negation/synonyms.h"
#include "nclip/tokenizer/tokenizer.h"

#include <stdbool.h>
#include <stddef.h>

enum nc_quality {
    NC_QUALITY_NO_MEMORY = -1, /* to judge by; says nothing of the answer, and has no name */
    NC_QUALITY_GOOD,
    NC_QUALITY_EMPTY,        /* nothing but spaces and quotes */
    NC_QUALITY_REFUSED,      /* "I'm sorry, but ...", or the server refused the request */
    NC_QUALITY_RUN_ON,       /* several lines, cut at the limit, or far longer than asked for */
    NC_QUALITY_NOT_TEXT,     /* not UTF-8, another script, markup, control characters */
    NC_QUALITY_NO_OBJECT,    /* "yes", "nothing", "caption": no thing that a picture shows */
    NC_QUALITY_MENTIONED,    /* the caption mentions the object */
    NC_QUALITY_NO_PICTURE,   /* the picture is missing or cannot be sent */
    NC_QUALITY_UNSURE,       /* neither yes nor no */
    NC_QUALITY_NO_NEGATION,  /* denies nothing */
    NC_QUALITY_NOT_DENIED,   /* denies something else than the object */
    NC_QUALITY_CONTENT_LOST, /* words of the caption are gone */
    NC_QUALITY_ADDED,        /* says what neither the caption nor the object does */
    NC_QUALITY_TOO_LONG,     /* past the tokens that CLIP reads */
    NC_QUALITY_REASONS,
};

/* "content_lost" and "words of the caption are gone"; static. */
const char *nc_quality_name(enum nc_quality reason);
const char *nc_quality_text(enum nc_quality reason);
/* What to do where all answers of a run have this fault; static. */
const char *nc_quality_advice(enum nc_quality reason);

/* Each takes a model's answer and writes it, cleaned, into `clean`: malloc'd, or NULL when there
 * is nothing left or no memory. Cleaning removes spaces and quotes around it, a label before it
 * ("Caption: "), a full stop behind it, and an object's article and capitals. */
enum nc_quality nc_quality_object(const struct nc_synonyms *synonyms, const char *caption,
                                  const char *answer, bool cut, char **clean);

/* Yes or no: *absent is true only when the answer says no. */
enum nc_quality nc_quality_verdict(const char *answer, bool *absent);

/* `object` may be NULL: any negation will do, and `also` (a question, or NULL) holds words that
 * the statement may add. `tokenizer` may be NULL. */
enum nc_quality nc_quality_statement(const struct nc_synonyms *synonyms, const char *caption,
                                     const char *object, const char *also, const char *answer,
                                     bool cut, const struct nc_tokenizer *tokenizer, char **clean);

#endif
