/* The functions with which the files of the tokenizer call each other, from above to below:
 *
 *   tokenizer.c           the public functions: encode, truncate, look up
 *   pieces.h              SentencePiece's kind of vocabularies, and its own files
 *   open_clip_text.c      what open_clip does with a text before that
 *   files.c               vocab.json + merges.txt, tokenizer.json, bpe_simple_vocab_16e6.txt.gz
 *   added.c               special and added tokens: their files, finding them in text
 *   bpe.c                 pieces, merges, and the merging of one word
 *   split.c               cleaned text to words
 *   clean.c               text to cleaned text, under both rules
 *   unicode.c             UTF-8, classes, lower case, NFC
 *   entities.c            HTML entities
 *   ftfy.c                ftfy's fix_text
 *   mojibake.c            ftfy's sense of broken encodings; encoding.c its repair
 *   *_table.c             made by make_tables.py
 */
#ifndef NCLIP_HOST_TOKENIZER_PARTS_H
#define NCLIP_HOST_TOKENIZER_PARTS_H

#include "nclip/tokenizer/tokenizer.h"

/* ---- tables (make_tables.py) */

struct nc_code_range {
    uint32_t first, last; /* code points, both ends included */
    int32_t value;
};

enum {
    NC_LETTER_TRANSFORMERS = 1,
    NC_LETTER_OPEN_CLIP = 2,
    NC_NUMBER_TRANSFORMERS = 4,
    NC_NUMBER_OPEN_CLIP = 8,
    NC_INERT_TRANSFORMERS = 1,
    NC_INERT_OPEN_CLIP = 2,
};
extern const struct nc_code_range nc_tokenizer_later[], nc_tokenizer_later_lower[],
    nc_tokenizer_inert[], nc_tokenizer_sigma[];
extern const size_t nc_tokenizer_later_count, nc_tokenizer_later_lower_count,
    nc_tokenizer_inert_count, nc_tokenizer_sigma_count;

enum { NC_ENTITY_BARE = 1, NC_ENTITY_UPPER = 2 };
struct nc_entity {
    const char *name;  /* without & and ; */
    uint32_t value[3]; /* first character, flags, second character or 0 */
};
extern const struct nc_entity nc_entities[];
extern const size_t nc_entity_count;

struct nc_upper_entity {
    const char *name;
    uint32_t value[3]; /* ends with 0 when shorter */
};
extern const struct nc_upper_entity nc_upper_entities[];
extern const size_t nc_upper_entity_count;

/* ftfy's categories of characters in mojibake (badness.py), then its clues to
 * UTF-8 read as something else (chardata.py). */
enum nc_mojibake {
    NC_COMMON = 1 << 0,
    NC_C1 = 1 << 1,
    NC_BAD = 1 << 2,
    NC_LAW = 1 << 3,
    NC_CURRENCY = 1 << 4,
    NC_START_PUNCTUATION = 1 << 5,
    NC_END_PUNCTUATION = 1 << 6,
    NC_NUMERIC = 1 << 7,
    NC_KAOMOJI = 1 << 8,
    NC_UPPER_ACCENTED = 1 << 9,
    NC_LOWER_ACCENTED = 1 << 10,
    NC_UPPER_COMMON = 1 << 11,
    NC_LOWER_COMMON = 1 << 12,
    NC_BOX = 1 << 13,
    NC_FIRST_OF_2 = 1 << 14,
    NC_FIRST_OF_3 = 1 << 15,
    NC_FIRST_OF_4 = 1 << 16,
    NC_CONTINUATION = 1 << 17,
    NC_CONTINUATION_STRICT = 1 << 18,
};
extern const struct nc_code_range nc_mojibake_classes[];
extern const size_t nc_mojibake_classes_count;

enum {
    NC_LATIN_1 = 0,
    NC_WINDOWS_1252 = 1,
    NC_FIRST_SLOPPY = 1, /* in these U+FFFD is byte 0x1a */
    NC_LAST_SLOPPY = 6,
    NC_MACROMAN = 8,
    NC_SINGLE_BYTE_ENCODINGS = 10,
};
extern const uint16_t nc_single_byte_encodings[NC_SINGLE_BYTE_ENCODINGS][128];
extern const uint16_t nc_standard_width[0xfff0 - 0xff01];

/* The value of `code` in a sorted table; `missing` when no range holds it. */
int32_t nc_code_range_find(const struct nc_code_range *table, size_t count, uint32_t code,
                           int32_t missing);

/* ---- code points */

/* {0} is empty. reserve() makes room for `capacity` code points in all. */
struct nc_code_points {
    uint32_t *at;
    size_t count, capacity;
};
int nc_code_points_reserve(struct nc_code_points *text, size_t capacity);
int nc_code_points_copy(struct nc_code_points *text, const uint32_t *from, size_t count);
void nc_code_points_free(struct nc_code_points *text);

/* Decodes one code point of valid UTF-8 at `at`; returns its length, 1 to 4. */
size_t nc_utf8_decode_one(const uint8_t *at, uint32_t *code);

/* Appends the decoded text; bytes that are not UTF-8 become U+FFFD as in Python's
 * errors="replace" (one for each maximal part of a sequence), and set *replaced. */
int nc_utf8_decode(const char *text, size_t length, struct nc_code_points *out, bool *replaced);

/* ---- Unicode as the references know it */

enum nc_class { NC_SPACE, NC_LETTER, NC_NUMBER, NC_OTHER, NC_IGNORED };

/* Class in the regular expression that splits text into words. */
enum nc_class nc_code_class(enum nc_tokenizer_rules rules, uint32_t code);

bool nc_python_space(uint32_t code); /* str.isspace() */
bool nc_python_word(uint32_t code);  /* \w of Python's re */
bool nc_python_digit(uint32_t code); /* \d of Python's re */

/* Of string.punctuation. */
static inline bool nc_ascii_punctuation(uint32_t code)
{
    return code > ' ' && code < 0x7f &&
           !((code >= '0' && code <= '9') || ((code | 0x20) >= 'a' && (code | 0x20) <= 'z'));
}

/* Lower case, code point by code point as Rust's char::to_lowercase or with the
 * final sigma as Python's str.lower(). `out` is replaced. */
int nc_lower(enum nc_tokenizer_rules rules, const struct nc_code_points *text,
             struct nc_code_points *out);

/* Normalises to NFC in place; `spare` is working memory. */
int nc_normalize(enum nc_tokenizer_rules rules, struct nc_code_points *text,
                 struct nc_code_points *spare);

/* ---- cleaning */

/* Python's html.unescape(), in place. */
void nc_html_unescape(struct nc_code_points *text);
/* ftfy's unescape_html(), in place. */
void nc_ftfy_unescape_html(struct nc_code_points *text);

/* ftfy's is_bad() and fix_encoding(). */
bool nc_mojibake_is_bad(const uint32_t *text, size_t count);
int nc_fix_encoding(struct nc_code_points *text);

/* ftfy's fix_text() with its defaults, in place. */
int nc_fix_text(struct nc_code_points *text);

struct nc_buffer {
    uint8_t *at;
    size_t count, capacity;
};
int nc_buffer_reserve(struct nc_buffer *buffer, size_t capacity);

/* Working memory of one thread; belongs to a struct nc_tokens. */
struct nc_tokenizer_scratch {
    struct nc_buffer raw;   /* the text after nc_text_clean() */
    struct nc_buffer clean; /* the cleaned text, UTF-8 */
    struct nc_code_points text, spare;
    struct nc_bpe_scratch {
        uint64_t *memory;
        size_t capacity; /* symbols */
    } bpe;
    struct nc_pieces_scratch *pieces; /* pieces.h; NULL until it is needed */
};

/* Appends to scratch->clean the cleaned form of valid UTF-8. */
int nc_clean(enum nc_tokenizer_rules rules, const char *text, size_t length,
             struct nc_tokenizer_scratch *scratch);

/* What open_clip does with a text before its tokenizer gets it, into scratch->raw: valid UTF-8. */
int nc_text_clean(enum nc_text_cleaning cleaning, const char *text, size_t length,
                  struct nc_tokenizer_scratch *scratch);

/* Whether a folder asks for it: its tokenizer_config.json by NC_TEXT_CLEANING_KEY, or the
 * open_clip_config.json of one that is no transformers'. */
int nc_text_cleaning_in(const char *folder, enum nc_text_cleaning *cleaning);

/* ---- vocabulary and merges */

enum { NC_VOCABULARY_LIMIT = 1 << 22 }; /* ids are below this */

/* Pieces with their ids, and the way back. */
struct nc_vocabulary {
    char *text; /* all pieces, each ends with 0 */
    size_t text_size, text_capacity;
    uint32_t *offset; /* [size] of a piece in text; UINT32_MAX: no such id */
    uint32_t *length; /* [size] bytes of the piece */
    size_t size, capacity, entries;
    int32_t *slots; /* open addressing by the piece's hash; -1: empty */
    size_t slot_count;
};

/* Adds a piece. A piece or an id that is already there is NC_BAD_INPUT, unless
 * `replace`: then the piece gets the new id and the old id keeps its spelling. */
int nc_vocabulary_add(struct nc_vocabulary *vocabulary, const char *where, const char *piece,
                      size_t length, size_t id, bool replace);
int32_t nc_vocabulary_find(const struct nc_vocabulary *vocabulary, const char *piece,
                           size_t length); /* -1 when missing */
void nc_vocabulary_free(struct nc_vocabulary *vocabulary);

struct nc_merge {
    int32_t left, right, merged;
    uint32_t rank; /* UINT32_MAX: empty slot */
};

struct nc_bpe {
    int32_t inner[256], last[256]; /* byte to piece, inside a word and at its end; -1: none */
    struct nc_merge *merges;       /* open addressing; a power of two slots */
    size_t merge_slots, merge_count;
    int32_t unknown; /* id of a byte without a piece */
    bool sweep;      /* merge every place of the best pair before looking for the next best, as
                      * open_clip does; otherwise always the best pair, leftmost first, as
                      * transformers does. Different only for merge lists that no training made. */
};

/* Spelling of the byte alphabet, the `index`th letter in OpenAI's order, UTF-8 in
 * `letter` (at most 2 bytes, then 0); returns its byte. */
uint8_t nc_byte_letter(size_t index, char letter[3]);

int nc_bpe_bytes(struct nc_bpe *bpe, const char *where, const struct nc_vocabulary *vocabulary);
int nc_bpe_reserve(struct nc_bpe *bpe, const char *where, size_t merges);
/* `left` and `right` are pieces; the piece that they make together must exist. */
int nc_bpe_add_merge(struct nc_bpe *bpe, const char *where, size_t line,
                     const struct nc_vocabulary *vocabulary, const char *left, size_t left_length,
                     const char *right, size_t right_length, uint32_t rank);
void nc_bpe_free(struct nc_bpe *bpe);

/* The rank of the merge of two pieces, and what they become; UINT32_MAX: there is none. */
uint32_t nc_bpe_pair(const struct nc_bpe *bpe, int32_t left, int32_t right, int32_t *merged);

/* Writes the ids of one word (length >= 1) to ids[], at most `length` of them. */
int nc_bpe_encode(const struct nc_bpe *bpe, const uint8_t *word, size_t length,
                  struct nc_bpe_scratch *scratch, int32_t *ids, size_t *count);

/* ---- added tokens */

struct nc_added_token {
    char *text; /* as it is looked for: normalised when `normalized` */
    size_t length;
    int32_t id;
    bool normalized; /* looked for in the normalised text, else in the raw text */
    bool left_space, right_space; /* takes white space beside it; of vocabularies of pieces alone */
};

struct nc_tokenizer {
    enum nc_tokenizer_rules rules;
    enum nc_text_cleaning cleaning;
    struct nc_vocabulary vocabulary;
    struct nc_bpe bpe;
    int32_t start, end;
    struct nc_added_token *added;
    size_t added_count;
    bool added_first[2][256]; /* [normalized][first byte of such a token] */
    struct nc_pieces *pieces; /* a vocabulary of pieces (pieces.h); NULL: CLIP's words */
};

struct cJSON;

/* Refuses a tokenizer.json whose normalizer or pre_tokenizer is not CLIP's. */
int nc_tokenizer_check_pipeline(const char *where, const struct cJSON *root);

/* Fills start, end, the unknown id and the added tokens. `folder` holds
 * tokenizer_config.json and its like (NULL: none); `root` is the parsed
 * tokenizer.json (NULL: none), `where` names the vocabulary's file. */
int nc_added_tokens_load(struct nc_tokenizer *tokenizer, const char *where, const char *folder,
                         const struct cJSON *root);
void nc_added_tokens_free(struct nc_tokenizer *tokenizer);

/* The first of the added tokens in text[from .. length), the longest where several
 * start; NULL when there is none. */
const struct nc_added_token *nc_added_token_find(const struct nc_tokenizer *tokenizer,
                                                 bool normalized, const uint8_t *text, size_t from,
                                                 size_t length, size_t *at);

int nc_tokenizer_load_files(struct nc_tokenizer *tokenizer, const char *path);

/* ---- words */

/* One word, or a special token of open_clip's, of cleaned text. To start, set all
 * but `from` to 0. */
struct nc_word {
    size_t from;          /* where the next search begins */
    size_t start, length; /* the word */
    int32_t special;      /* its id, or -1 */
    size_t wall;          /* end of a spelled-out special token that is being split */
};
bool nc_next_word(const struct nc_tokenizer *tokenizer, const uint8_t *text, size_t length,
                  struct nc_word *word);

#endif
