/* Text in, token ids out: by CLIP's byte pairs, or by SentencePiece's kind of vocabularies.
 *
 * SentencePiece: unigram and BPE with byte fallback, from tokenizer.json with its own normalizer,
 * pre-tokenizer and template (what of them is not computed is refused by name), or from spiece.model
 * and tokenizer.model of SigLIP's and Gemma's tokenizers in transformers 5.24. Known difference: a
 * user-defined piece of a .model is not kept from its map of characters. A tokenizer.json is followed step
 * by step, as transformers 4 does; transformers 5 keeps of those of T5Tokenizer, GemmaTokenizer and
 * XLMRobertaTokenizer the vocabulary and the map of characters alone, which is the same for what these
 * classes wrote, but for a U+2581 in a text and T5's files of transformers 4.
 *
 * CLIP: the ids equal those of one of two references, chosen when the vocabulary is
 * loaded. They agree on plain captions and disagree on the rest:
 *
 *                      NC_TOKENIZER_TRANSFORMERS       NC_TOKENIZER_OPEN_CLIP
 *   reference          CLIPTokenizer of                SimpleTokenizer of open_clip 3.3
 *                      transformers 5.23               with ftfy 6.3.1 (as OpenAI's)
 *   broken encodings   kept                            repaired (ftfy.fix_text)
 *   HTML entities      kept as text                    replaced (ftfy, html.unescape twice)
 *   control characters kept                            removed (ftfy)
 *   widths, quotes     kept                            made plain (ftfy)
 *   lower case         letter by letter                with the final sigma
 *   special tokens     <|startoftext|> <|endoftext|>   <start_of_text> <end_of_text>
 *   in the text        and the folder's added tokens   in any case
 *
 * Unicode is that of the references: character classes of tokenizers 0.23.3 and of
 * regex 2026.11.15, lower case and NFC of tokenizers and of Python 3.11 (Unicode
 * 14.0). With other versions code points newer than Unicode 14.0 may differ.
 * Known differences: a byte that the vocabulary lacks becomes the unknown token
 * (open_clip fails); a decimal HTML reference of over 4300 digits becomes U+FFFD
 * (Python fails); added tokens that ask for single_word are refused; start and end
 * that neither the vocabulary nor the added tokens have are an error (transformers
 * invents ids); a text over 64 MiB is an error.
 */
#ifndef NCLIP_TOKENIZER_TOKENIZER_H
#define NCLIP_TOKENIZER_TOKENIZER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum nc_tokenizer_rules {
    NC_TOKENIZER_TRANSFORMERS, /* the default */
    NC_TOKENIZER_OPEN_CLIP,
};

/* "transformers" or "open_clip" to the rules; anything else is NC_USAGE. */
int nc_tokenizer_rules_parse(const char *name, enum nc_tokenizer_rules *rules);

/* What open_clip does with a text before a tokenizer of transformers' gets it: ftfy, HTML entities, and
 * what the name says. It is a fact of the folder: its open_clip_config.json (text_cfg's
 * hf_tokenizer_name, and "clean" of tokenizer_kwargs, which is whitespace where it is not said), or, in a
 * folder that nclip import wrote, NC_TEXT_CLEANING_KEY of tokenizer_config.json. Both rules follow it. */
enum nc_text_cleaning {
    NC_TEXT_AS_IT_IS,
    NC_TEXT_WHITESPACE,
    NC_TEXT_LOWER,
    NC_TEXT_CANONICALIZE,
    NC_TEXT_WHITESPACE_UNDERSCORE,
    NC_TEXT_CLEANINGS,
};
extern const char *const nc_text_cleaning_names[NC_TEXT_CLEANINGS];
#define NC_TEXT_CLEANING_KEY "open_clip_clean"

/* What NC_TEXT_CLEANING_KEY says in a folder; NC_TEXT_AS_IT_IS: nothing. */
int nc_text_cleaning_noted(const char *folder, enum nc_text_cleaning *cleaning);

/* What an open_clip config asks for; NC_TEXT_AS_IT_IS where it means open_clip's own tokenizer
 * (NC_TOKENIZER_OPEN_CLIP). NC_BAD_INPUT names what of its tokenizer_kwargs nclip does not follow. */
int nc_text_cleaning_of_config(const char *path, enum nc_text_cleaning *cleaning);

/* What happens to a text with more tokens than the context holds. */
enum nc_truncation {
    NC_TRUNCATE,       /* the first tokens are kept; the last id is end-of-text */
    NC_TRUNCATE_ERROR, /* NC_BAD_INPUT, with both lengths in the message */
    NC_TRUNCATE_SKIP,  /* NC_OK with no ids and `skipped` set */
};

/* "truncate", "error" or "skip"; anything else is NC_USAGE. */
int nc_truncation_parse(const char *name, enum nc_truncation *truncation);

enum { NC_CLIP_CONTEXT = 77 }; /* tokens that a CLIP text tower reads */

/* Read-only once loaded: several threads may encode with one tokenizer, each
 * with its own nc_tokens. */
struct nc_tokenizer;

/* `path` is a model folder (tokenizer.json, else vocab.json with merges.txt, else
 * bpe_simple_vocab_16e6.txt.gz, spiece.model or tokenizer.model in it) or one such file.
 * The caller calls nc_tokenizer_destroy(*tokenizer). */
int nc_tokenizer_load(const char *path, enum nc_tokenizer_rules rules,
                      struct nc_tokenizer **tokenizer);
void nc_tokenizer_destroy(struct nc_tokenizer *tokenizer); /* NULL is allowed */

/* Whether the folder has a file that nc_tokenizer_load would read. */
bool nc_tokenizer_is_in(const char *folder);

/* The result of encoding one text. Start with {0}, reuse it from text to text
 * (the memory is kept and grows), end with nc_tokens_free(). */
struct nc_tokens {
    int32_t *ids;       /* [count] start, the text's tokens, end; never padded */
    size_t count;       /* 2 .. context; 0 when skipped */
    size_t full_count;  /* what count would be without a context */
    bool truncated;     /* some tokens were cut away */
    bool skipped;       /* too long, and NC_TRUNCATE_SKIP was asked for */
    bool negation_lost; /* truncated, and a denial (nclip/negation/words.h) is
                         * wholly or partly among what was cut away */
    size_t capacity;    /* of ids */
    struct nc_tokenizer_scratch *scratch;
};
void nc_tokens_free(struct nc_tokens *tokens); /* sets it to {0}; {0} is allowed */

/* Encodes `length` bytes of UTF-8. Zero bytes and control characters are text
 * like any other. Bytes that are not UTF-8 are replaced by U+FFFD exactly as
 * Python's bytes.decode("utf-8", errors="replace") does. `context` is the most
 * ids to give, at least 2, or 0 for no limit. After an error `tokens` is
 * empty (count 0) and can be used again. */
int nc_tokenizer_encode(const struct nc_tokenizer *tokenizer, const char *text, size_t length,
                        size_t context, enum nc_truncation truncation, struct nc_tokens *tokens);

int32_t nc_tokenizer_start(const struct nc_tokenizer *tokenizer); /* id of start-of-text */
int32_t nc_tokenizer_end(const struct nc_tokenizer *tokenizer);   /* id of end-of-text */
enum nc_text_cleaning nc_tokenizer_cleaning(const struct nc_tokenizer *tokenizer);
/* The id that captions of a SentencePiece vocabulary are filled up with; -1: the file does not say, or
 * it is CLIP's, whose padding no tower sees. */
int32_t nc_tokenizer_pad(const struct nc_tokenizer *tokenizer);

/* One more than the highest id. */
size_t nc_tokenizer_vocabulary_size(const struct nc_tokenizer *tokenizer);

/* A hash of all that the ids of a text depend on: rules, pieces, merges, added tokens. Files that
 * say the same in other words have the same. */
uint64_t nc_tokenizer_fingerprint(const struct nc_tokenizer *tokenizer);

/* The piece of an id as the vocabulary spells it ("cat</w>"; bytes that do not
 * print are letters of the byte alphabet), for messages; NULL for an id that
 * the vocabulary does not have. Belongs to the tokenizer. */
const char *nc_tokenizer_piece(const struct nc_tokenizer *tokenizer, int32_t id);

#endif
