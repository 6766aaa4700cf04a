/* Whether a tokenizer.json cleans and splits texts as CLIP's does. The file may say otherwise, and
 * transformers then follows it: its ids would differ from those made here. */
#include "parts.h"

#include "nclip/formats/json.h"
#include "nclip/support/error.h"

#include <stdio.h>
#include <string.h>

enum { MOST = 8, SHOWN = 160 };

/* The steps of a stage: one, or those of a Sequence. 0: none; more than MOST: not CLIP's. */
static size_t list_steps(const cJSON *stage, const char *members, const cJSON *steps[MOST])
{
    const char *type = "";
    size_t count = 0;
    (void)nc_json_optional_string("stage", stage, "type", &type);
    if (strcmp(type, "Sequence") != 0) {
        steps[0] = stage;
        return cJSON_IsObject(stage);
    }
    const cJSON *step;
    cJSON_ArrayForEach(step, nc_json_member(stage, members))
    {
        if (count < MOST)
            steps[count] = step;
        count++;
    }
    return count;
}

static const char *text_of(const cJSON *object, const char *key)
{
    const cJSON *item = nc_json_member(object, key);
    return cJSON_IsString(item) ? item->valuestring : "";
}

static bool is_type(const cJSON *step, const char *type)
{
    return strcmp(text_of(step, "type"), type) == 0;
}

/* NFC, white space as one blank (which splitting drops anyway), small letters. */
static bool normalizes_as_clip(const cJSON *const steps[MOST], size_t count)
{
    size_t i = 0;
    if (i < count && is_type(steps[i], "NFC"))
        i++;
    else
        return false;
    if (i < count && is_type(steps[i], "Replace")) {
        if (strcmp(text_of(nc_json_member(steps[i], "pattern"), "Regex"), "\\s+") != 0 ||
            strcmp(text_of(steps[i], "content"), " ") != 0)
            return false;
        i++;
    }
    return i + 1 == count && is_type(steps[i], "Lowercase");
}

/* Words, digits one by one, runs of signs; then letters that stand for bytes. */
static bool splits_as_clip(const cJSON *const steps[MOST], size_t count)
{
    static const char words[] = "'s|'t|'re|'ve|'m|'ll|'d|[\\p{L}]+|[\\p{N}]|[^\\s\\p{L}\\p{N}]+",
                      special[] = "<\\|startoftext\\|>|<\\|endoftext\\|>|";
    if (count != 2 || !is_type(steps[0], "Split") || !is_type(steps[1], "ByteLevel"))
        return false;
    const char *pattern = text_of(nc_json_member(steps[0], "pattern"), "Regex");
    if (strncmp(pattern, special, strlen(special)) == 0)
        pattern += strlen(special);
    return strcmp(pattern, words) == 0 && strcmp(text_of(steps[0], "behavior"), "Removed") == 0 &&
           cJSON_IsTrue(nc_json_member(steps[0], "invert")) &&
           !cJSON_IsTrue(nc_json_member(steps[1], "add_prefix_space"));
}

static int refuse(const char *where, const char *stage, const char *expected,
                  const cJSON *const steps[MOST], size_t count)
{
    char shown[SHOWN] = "";
    for (size_t i = 0; i < count && i < MOST; i++)
        snprintf(shown + strlen(shown), sizeof shown - strlen(shown), "%s%.40s", i ? ", " : "",
                 text_of(steps[i], "type"));
    return nc_error(NC_BAD_INPUT,
                    "%s: its %s (%s) is not CLIP's (%s), and its ids would differ: take the "
                    "tokenizer.json of a CLIP, or vocab.json with merges.txt",
                    where, stage, count ? shown : "none", expected);
}

int nc_tokenizer_check_pipeline(const char *where, const cJSON *root)
{
    const cJSON *normalizer = nc_json_member(root, "normalizer"), *steps[MOST];
    const cJSON *splitter = nc_json_member(root, "pre_tokenizer");
    if (normalizer) { /* left out, as no program does, it says nothing */
        size_t count = list_steps(normalizer, "normalizers", steps);
        if (count > MOST || !normalizes_as_clip(steps, count))
            return refuse(where, "normalizer", "NFC, Replace of white space, Lowercase", steps,
                          count);
    }
    if (splitter) {
        size_t count = list_steps(splitter, "pretokenizers", steps);
        if (count > MOST || !splits_as_clip(steps, count))
            return refuse(where, "pre_tokenizer", "Split into words and signs, ByteLevel", steps,
                          count);
    }
    return NC_OK;
}
