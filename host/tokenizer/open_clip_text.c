/* What open_clip does with a text before a tokenizer of transformers' gets it, and which folder
 * asks for it.
 *
 *     whitespace             ftfy, HTML entities twice, white space to one space and none around
 *     lower                  the same, then small letters
 *     canonicalize           ftfy, HTML entities twice, "_" to a space, no ASCII punctuation, small
 *                            letters, single spaces
 *     whitespace_underscore  whitespace, with "_" a space; open_clip's main branch after 3.3
 *
 * Source: open_clip 3.3, tokenizer.py (get_clean_fn, HFTokenizer) and factory.py (get_tokenizer).
 */
#include "parts.h"

#include "nclip/formats/json.h"
#include "nclip/support/error.h"
#include "nclip/support/files.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

const char *const nc_text_cleaning_names[NC_TEXT_CLEANINGS] = {
    "none", "whitespace", "lower", "canonicalize", "whitespace_underscore"};

/* ---- The text ---- */

static void replace_signs(enum nc_text_cleaning cleaning, struct nc_code_points *text)
{
    bool canonical = cleaning == NC_TEXT_CANONICALIZE;
    size_t used = 0;
    for (size_t i = 0; i < text->count; i++) {
        uint32_t code = text->at[i];
        if (code == '_' && (canonical || cleaning == NC_TEXT_WHITESPACE_UNDERSCORE))
            code = ' ';
        if (!canonical || !nc_ascii_punctuation(code))
            text->at[used++] = code;
    }
    text->count = used;
}

/* " ".join(text.split()) as UTF-8; there is room. */
static void write_words(const struct nc_code_points *text, struct nc_buffer *out)
{
    bool space = false;
    out->count = 0;
    for (size_t i = 0; i < text->count; i++) {
        if (nc_python_space(text->at[i])) {
            space = out->count > 0;
            continue;
        }
        if (space)
            out->at[out->count++] = ' ';
        space = false;
        out->count +=
            (size_t)utf8proc_encode_char((utf8proc_int32_t)text->at[i], out->at + out->count);
    }
}

int nc_text_clean(enum nc_text_cleaning cleaning, const char *text, size_t length,
                  struct nc_tokenizer_scratch *scratch)
{
    struct nc_code_points *points = &scratch->text, *spare = &scratch->spare;
    bool replaced = false, lower = cleaning == NC_TEXT_LOWER || cleaning == NC_TEXT_CANONICALIZE;
    points->count = 0;
    int status = nc_utf8_decode(text, length, points, &replaced);
    if (status == NC_OK)
        status = nc_fix_text(points);
    if (status != NC_OK)
        return status;
    nc_html_unescape(points);
    nc_html_unescape(points);
    replace_signs(cleaning, points);
    if (lower) { /* white space takes no part in it, so that its place in the order is free */
        status = nc_lower(NC_TOKENIZER_OPEN_CLIP, points, spare);
        points = spare;
    }
    if (status == NC_OK)
        status = nc_buffer_reserve(&scratch->raw, 4 * points->count + 1);
    if (status == NC_OK)
        write_words(points, &scratch->raw);
    return status;
}

/* ---- Who asks for it ---- */

static int parse(const char *where, const char *key, const char *name,
                 enum nc_text_cleaning *cleaning)
{
    for (int i = NC_TEXT_AS_IT_IS + 1; i < NC_TEXT_CLEANINGS; i++) {
        if (strcmp(name, nc_text_cleaning_names[i]) == 0) {
            *cleaning = (enum nc_text_cleaning)i;
            return NC_OK;
        }
    }
    return nc_error(
        NC_BAD_INPUT,
        "%s: \"%s\" is \"%.40s\"; nclip cleans texts by whitespace, lower, canonicalize and "
        "whitespace_underscore",
        where, key, name);
}

/* What else changes ids is refused by its name. */
static int check_arguments(const char *where, const cJSON *arguments)
{
    const cJSON *item;
    cJSON_ArrayForEach(item, arguments)
    {
        bool off = cJSON_IsNull(item) || cJSON_IsFalse(item) ||
                   (cJSON_IsString(item) && !*item->valuestring) ||
                   ((cJSON_IsArray(item) || cJSON_IsObject(item)) && !item->child);
        if (!off && strcmp(item->string, "clean") != 0)
            return nc_error(
                NC_BAD_INPUT,
                "%s: tokenizer_kwargs has \"%.60s\", which nclip does not follow, and its ids "
                "would differ",
                where, item->string);
    }
    return NC_OK;
}

/* By the text_cfg of a config (NULL: an empty one). */
static int read_cleaning(const char *where, const cJSON *text, enum nc_text_cleaning *cleaning)
{
    const char *name = "", *mode = "", *type = "", *clean = NULL;
    const cJSON *arguments = nc_json_member(text, "tokenizer_kwargs");
    *cleaning = NC_TEXT_AS_IT_IS;
    int status = nc_json_optional_string(where, text, "hf_tokenizer_name", &name);
    if (status == NC_OK)
        status = nc_json_optional_string(where, text, "tokenizer_mode", &mode);
    if (status == NC_OK)
        status = nc_json_optional_string(where, text, "tokenizer_type", &type);
    if (status == NC_OK && (*mode || *type))
        status =
            nc_error(NC_BAD_INPUT, "%s: \"%s\" is \"%.40s\", a tokenizer that nclip does not have",
                     where, *mode ? "tokenizer_mode" : "tokenizer_type", *mode ? mode : type);
    if (status == NC_OK && arguments && !cJSON_IsNull(arguments) && !cJSON_IsObject(arguments))
        status = nc_error(NC_BAD_INPUT, "%s: \"tokenizer_kwargs\" is not an object", where);
    if (status == NC_OK)
        status = check_arguments(where, arguments);
    if (status == NC_OK)
        status = nc_json_optional_string(where, arguments, "clean", &clean);
    if (status != NC_OK)
        return status;
    if (*name)
        return parse(where, "clean", clean ? clean : "whitespace", cleaning);
    /* Its own tokenizer's cleaning is part of NC_TOKENIZER_OPEN_CLIP. */
    return !clean || strcmp(clean, "lower") == 0
               ? NC_OK
               : nc_error(NC_BAD_INPUT,
                          "%s: \"clean\" is \"%.40s\", but of open_clip's own tokenizer nclip has "
                          "the one of \"lower\"",
                          where, clean);
}

int nc_text_cleaning_of_config(const char *path, enum nc_text_cleaning *cleaning)
{
    cJSON *root;
    *cleaning = NC_TEXT_AS_IT_IS;
    int status = nc_json_load(path, &root);
    if (status != NC_OK)
        return status;
    const cJSON *model = nc_json_member(root, "model_cfg");
    status = read_cleaning(path, nc_json_member(model ? model : root, "text_cfg"), cleaning);
    cJSON_Delete(root);
    return status;
}

int nc_text_cleaning_noted(const char *folder, enum nc_text_cleaning *cleaning)
{
    char *path = nc_path_join(folder, "tokenizer_config.json");
    const char *name = NULL;
    cJSON *root = NULL;
    *cleaning = NC_TEXT_AS_IT_IS;
    int status = path ? NC_OK : nc_error(NC_FAILED, "%s: no memory", folder);
    if (status == NC_OK && nc_file_exists(path))
        status = nc_json_load(path, &root);
    if (status == NC_OK)
        status = nc_json_optional_string(path, root, NC_TEXT_CLEANING_KEY, &name);
    if (status == NC_OK && name)
        status = parse(path, NC_TEXT_CLEANING_KEY, name, cleaning);
    cJSON_Delete(root);
    free(path);
    return status;
}

int nc_text_cleaning_in(const char *folder, enum nc_text_cleaning *cleaning)
{
    int status = nc_text_cleaning_noted(folder, cleaning);
    /* A folder of transformers' may have open_clip's config too; it is read as transformers does.
     */
    if (status != NC_OK || *cleaning != NC_TEXT_AS_IT_IS ||
        nc_folder_holds(folder, "config.json") || !nc_folder_holds(folder, "open_clip_config.json"))
        return status;
    char *path = nc_path_join(folder, "open_clip_config.json");
    if (!path)
        return nc_error(NC_FAILED, "%s: no memory", folder);
    status = nc_text_cleaning_of_config(path, cleaning);
    free(path);
    return status;
}
