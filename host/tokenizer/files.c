/* The three ways in which CLIP's vocabulary is stored; those of pieces (pieces.h) are handed on.
 *
 * tokenizer.json       everything in one JSON (Hugging Face tokenizers)
 * vocab.json           an object from piece to id, with merges.txt: one merge a line,
 *                      "left right", the best first
 * bpe_simple_vocab_16e6.txt.gz   merges only: a header line, then one merge a line.
 *                      The ids follow from it: 256 bytes, 256 bytes that end a word,
 *                      the merges, start-of-text, end-of-text. OpenAI's file goes on
 *                      for 213,000 merges that its tokenizer never reads.
 */
#include "pieces.h"

#include "nclip/formats/json.h"
#include "nclip/formats/kind.h"
#include "nclip/formats/text.h"
#include "nclip/support/error.h"
#include "nclip/support/files.h"

#include <stdlib.h>
#include <string.h>

enum {
    FILE_LIMIT = 256 << 20,    /* bytes; the real files have 0.5 to 4 MiB */
    INFLATED_LIMIT = 64 << 20, /* bytes; the real file has 3 MiB */
    OPENAI_MERGES = 49152 - 256 - 2,
};

/* ---- JSON */

static int load_vocabulary(struct nc_tokenizer *tokenizer, const char *where, const cJSON *vocab)
{
    const cJSON *item;
    cJSON_ArrayForEach(item, vocab)
    {
        double id = item->valuedouble;
        if (!cJSON_IsNumber(item) || !(id >= 0 && id < NC_VOCABULARY_LIMIT) || id != (int)id)
            return nc_error(NC_BAD_INPUT,
                            "%s: the id of \"%.40s\" is not a whole number from 0 to %d", where,
                            item->string, NC_VOCABULARY_LIMIT - 1);
        int status = nc_vocabulary_add(&tokenizer->vocabulary, where, item->string,
                                       strlen(item->string), (size_t)id, false);
        if (status != NC_OK)
            return status;
    }
    return nc_bpe_bytes(&tokenizer->bpe, where, &tokenizer->vocabulary);
}

/* "left right": exactly one space, both sides not empty. */
static const char *split_merge(const char *line, size_t length)
{
    const char *space = memchr(line, ' ', length);
    if (!space || space == line || space + 1 == line + length ||
        memchr(space + 1, ' ', (size_t)(line + length - space - 1)))
        return NULL;
    return space;
}

static int add_merge_line(struct nc_tokenizer *tokenizer, const char *where, size_t number,
                          const char *line, size_t length, uint32_t rank)
{
    const char *space = split_merge(line, length);
    if (!space)
        return nc_error(NC_BAD_INPUT, "%s: merge %zu, \"%.*s\", is not two pieces with one space",
                        where, number, (int)(length < 80 ? length : 80), line);
    return nc_bpe_add_merge(&tokenizer->bpe, where, number, &tokenizer->vocabulary, line,
                            (size_t)(space - line), space + 1, (size_t)(line + length - space - 1),
                            rank);
}

/* Each merge is "left right" or ["left", "right"]. */
static int load_json_merges(struct nc_tokenizer *tokenizer, const char *where, const cJSON *merges)
{
    int status = nc_bpe_reserve(&tokenizer->bpe, where, (size_t)cJSON_GetArraySize(merges));
    uint32_t rank = 0;
    const cJSON *item;
    cJSON_ArrayForEach(item, merges)
    {
        if (status != NC_OK)
            break;
        const cJSON *left = cJSON_IsArray(item) ? item->child : NULL;
        const cJSON *right = left ? left->next : NULL;
        if (cJSON_IsString(item))
            status = add_merge_line(tokenizer, where, rank + 1, item->valuestring,
                                    strlen(item->valuestring), rank);
        else if (cJSON_IsString(left) && cJSON_IsString(right) && !right->next)
            status = nc_bpe_add_merge(&tokenizer->bpe, where, rank + 1, &tokenizer->vocabulary,
                                      left->valuestring, strlen(left->valuestring),
                                      right->valuestring, strlen(right->valuestring), rank);
        else
            status = nc_error(NC_BAD_INPUT, "%s: merge %u is not two pieces", where, rank + 1);
        rank++;
    }
    return status;
}

static int load_tokenizer_json(struct nc_tokenizer *tokenizer, const char *where,
                               const char *folder, const cJSON *root)
{
    const cJSON *model, *vocab, *merges;
    const char *type = "BPE", *suffix = "</w>";
    int status = nc_json_object(where, root, "model", &model);
    if (status == NC_OK)
        status = nc_json_optional_string(where, model, "type", &type);
    if (status == NC_OK)
        status = nc_json_optional_string(where, model, "end_of_word_suffix", &suffix);
    if (status == NC_OK && (strcmp(type, "BPE") != 0 || strcmp(suffix, "</w>") != 0))
        status = nc_error(NC_BAD_INPUT,
                          "%s: this is not a CLIP tokenizer: a %.40s model whose words end in "
                          "\"%.40s\", not BPE and \"</w>\"",
                          where, type, suffix);
    if (status == NC_OK)
        status = nc_tokenizer_check_pipeline(where, root);
    if (status == NC_OK)
        status = nc_json_object(where, model, "vocab", &vocab);
    if (status == NC_OK)
        status = nc_json_array(where, model, "merges", &merges);
    if (status == NC_OK)
        status = load_vocabulary(tokenizer, where, vocab);
    if (status == NC_OK)
        status = load_json_merges(tokenizer, where, merges);
    if (status == NC_OK)
        status = nc_added_tokens_load(tokenizer, where, folder, root);
    return status;
}

/* ---- merges.txt */

static int load_merges_text(struct nc_tokenizer *tokenizer, const char *path)
{
    char *text = NULL;
    const char *line;
    size_t size, length;
    int status = nc_text_read(path, FILE_LIMIT, &text, &size);
    if (status != NC_OK)
        return status;
    struct nc_lines counted = nc_lines_of(text, size), lines = counted;
    while (nc_lines_next(&counted, &line, &length))
        ;
    status = nc_bpe_reserve(&tokenizer->bpe, path, counted.number + 1);
    uint32_t rank = 0;
    while (status == NC_OK && nc_lines_next(&lines, &line, &length)) {
        if (!length || (length >= 8 && memcmp(line, "#version", 8) == 0))
            continue;
        status = add_merge_line(tokenizer, path, rank + 1, line, length, rank);
        rank++;
    }
    free(text);
    return status;
}

static int load_vocab_and_merges(struct nc_tokenizer *tokenizer, const char *where,
                                 const char *folder, const cJSON *vocab)
{
    char *merges = nc_path_join(folder, "merges.txt");
    if (!merges)
        return nc_error(NC_FAILED, "%s: no memory", where);
    int status = load_vocabulary(tokenizer, where, vocab);
    if (status == NC_OK)
        status = load_merges_text(tokenizer, merges);
    if (status == NC_OK)
        status = nc_added_tokens_load(tokenizer, where, folder, NULL);
    free(merges);
    return status;
}

/* ---- bpe_simple_vocab_16e6.txt.gz */

static int add_byte_pieces(struct nc_vocabulary *vocabulary, const char *where)
{
    int status = NC_OK;
    for (size_t i = 0; i < 512 && status == NC_OK; i++) {
        char piece[8];
        nc_byte_letter(i % 256, piece);
        if (i >= 256)
            strcat(piece, "</w>");
        status = nc_vocabulary_add(vocabulary, where, piece, strlen(piece), i, false);
    }
    return status;
}

/* The piece that a line's merge makes: "left right" without the space. */
static int add_merged_piece(struct nc_vocabulary *vocabulary, const char *where, size_t number,
                            const char *line, size_t length, size_t id)
{
    const char *space = split_merge(line, length);
    char piece[1024];
    if (!space || length > sizeof piece)
        return nc_error(NC_BAD_INPUT, "%s: line %zu is not two pieces with one space", where,
                        number + 1);
    size_t left = (size_t)(space - line);
    memcpy(piece, line, left);
    memcpy(piece + left, space + 1, length - left - 1);
    return nc_vocabulary_add(vocabulary, where, piece, length - 1, id, true);
}

static int load_openai_text(struct nc_tokenizer *tokenizer, const char *where, const char *text,
                            size_t size)
{
    static const char *const special[2] = {"<|startoftext|>", "<|endoftext|>"};
    struct nc_vocabulary *vocabulary = &tokenizer->vocabulary;
    struct nc_lines lines = nc_lines_of(text, size);
    const char *line;
    size_t length, count = 0;
    nc_lines_next(&lines, &line, &length); /* the header */
    struct nc_lines first = lines;
    int status = add_byte_pieces(vocabulary, where);
    /* A line feed at the very end opens one more, empty line: it takes an id and
     * means nothing, as in the original. */
    bool opens_one = size && text[size - 1] == '\n';
    while (count < OPENAI_MERGES && status == NC_OK) {
        if (!nc_lines_next(&lines, &line, &length)) {
            count += opens_one;
            break;
        }
        count++;
        if (length)
            status = add_merged_piece(vocabulary, where, count, line, length, 511 + count);
    }
    for (size_t i = 0; i < 2 && status == NC_OK; i++)
        status = nc_vocabulary_add(vocabulary, where, special[i], strlen(special[i]),
                                   512 + count + i, true);
    if (status == NC_OK)
        status = nc_bpe_bytes(&tokenizer->bpe, where, vocabulary);
    if (status == NC_OK)
        status = nc_bpe_reserve(&tokenizer->bpe, where, count);
    for (uint32_t rank = 0; rank < count && status == NC_OK; rank++) {
        if (nc_lines_next(&first, &line, &length) && length)
            status = add_merge_line(tokenizer, where, rank + 1, line, length, rank);
    }
    if (status == NC_OK)
        status = nc_added_tokens_load(tokenizer, where, NULL, NULL);
    return status;
}

/* ---- choosing */

/* The folder that a file is in, with its slash; the caller frees it. */
static char *folder_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? strndup(path, (size_t)(slash - path) + 1) : strdup("");
}

/* SentencePiece's files have no signature. */
static bool is_model(const char *path)
{
    static const char end[] = ".model";
    size_t length = strlen(path);
    return length >= sizeof end - 1 && strcmp(path + length - (sizeof end - 1), end) == 0;
}

static int load_model(struct nc_tokenizer *tokenizer, const char *path)
{
    struct nc_mapping mapping;
    int status = nc_file_map(path, &mapping);
    if (status != NC_OK)
        return status;
    char *folder = folder_of(path);
    status = !folder                     ? nc_error(NC_FAILED, "%s: no memory", path)
             : mapping.size > FILE_LIMIT ? nc_error(NC_BAD_INPUT, "%s: is larger than %d MiB", path,
                                                    FILE_LIMIT >> 20)
                                         : nc_pieces_load_model(tokenizer, path, folder, mapping.data,
                                                                mapping.size);
    if (status == NC_OK)
        status = nc_mapping_check(&mapping);
    free(folder);
    nc_file_unmap(&mapping);
    return status;
}

static int load_file(struct nc_tokenizer *tokenizer, const char *path)
{
    char *text = NULL, *folder = NULL;
    cJSON *root = NULL;
    size_t size;
    enum nc_kind packing;
    if (is_model(path))
        return load_model(tokenizer, path);
    int status = nc_kind_of_file(path, &packing);
    bool packed = packing == NC_KIND_GZIP;
    if (status == NC_OK)
        status = nc_text_read(path, packed ? INFLATED_LIMIT : FILE_LIMIT, &text, &size);
    if (status != NC_OK)
        return status;
    folder = folder_of(path);
    enum nc_kind kind = nc_kind_of(text, size, true);
    if (!folder) {
        status = nc_error(NC_FAILED, "%s: no memory", path);
    } else if (packed) {
        status = load_openai_text(tokenizer, path, text, size);
    } else if (kind == NC_KIND_JSON) {
        status = nc_json_parse(path, text, size, &root);
        if (status == NC_OK && nc_pieces_is_json(root))
            status = nc_pieces_load_json(tokenizer, path, folder, root);
        else if (status == NC_OK && cJSON_IsObject(nc_json_member(root, "model")))
            status = load_tokenizer_json(tokenizer, path, folder, root);
        else if (status == NC_OK)
            status = load_vocab_and_merges(tokenizer, path, folder, root);
    } else {
        status = nc_error(NC_BAD_INPUT,
                          "%s: no tokenizer: expected tokenizer.json, vocab.json (with merges.txt "
                          "beside it), bpe_simple_vocab_16e6.txt.gz, spiece.model or "
                          "tokenizer.model",
                          path);
    }
    cJSON_Delete(root);
    free(folder);
    free(text);
    return status;
}

static const char *const names[] = {"tokenizer.json", "vocab.json", "bpe_simple_vocab_16e6.txt.gz",
                                    "spiece.model", "tokenizer.model", "sentencepiece.bpe.model"};

bool nc_tokenizer_is_in(const char *folder)
{
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (nc_folder_holds(folder, names[i]))
            return true;
    return false;
}

/* What comes before the vocabulary, and is a fact of its folder. */
static int load_cleaning(struct nc_tokenizer *tokenizer, const char *path)
{
    char *folder = nc_folder_exists(path) ? strdup(path) : folder_of(path);
    int status = folder ? nc_text_cleaning_in(folder, &tokenizer->cleaning)
                        : nc_error(NC_FAILED, "%s: no memory", path);
    if (tokenizer->cleaning != NC_TEXT_AS_IT_IS) /* open_clip has transformers' tokenizer there */
        tokenizer->rules = NC_TOKENIZER_TRANSFORMERS;
    free(folder);
    return status;
}

int nc_tokenizer_load_files(struct nc_tokenizer *tokenizer, const char *path)
{
    int status = load_cleaning(tokenizer, path);
    if (status != NC_OK || !nc_folder_exists(path))
        return status == NC_OK ? load_file(tokenizer, path) : status;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char *file = nc_path_join(path, names[i]);
        if (!file)
            return nc_error(NC_FAILED, "%s: no memory", path);
        bool exists = nc_file_exists(file);
        status = exists ? load_file(tokenizer, file) : NC_OK;
        free(file);
        if (exists)
            return status;
    }
    return nc_error(NC_BAD_INPUT,
                    "%s: no tokenizer in this folder: expected tokenizer.json, or vocab.json with "
                    "merges.txt, or bpe_simple_vocab_16e6.txt.gz, spiece.model, tokenizer.model",
                    path);
}
