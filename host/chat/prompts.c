/* Reads prompts from files, chooses among variants and fills their slots. */
#include "nclip/chat/prompts.h"

#include "built_in.h"
#include "nclip/formats/text.h"
#include "nclip/support/error.h"
#include "nclip/support/files.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

enum { LARGEST_FILE = 1 << 20, MOST_MESSAGES = 64, DEFAULT_TOKENS = 256 };

/* What can be asked, and the slots that the prompt must and may have. */
static const struct {
    const char *name;
    const char *must, *may;
} known[] = {
    {"object", "{caption}", ""},
    {"check", "{object}", "{caption}"},
    {"rewrite", "{caption}{object}", ""},
    {"join", "{caption}{question}{answer}", ""},
};
enum { KNOWN = sizeof known / sizeof *known };

/* "rewrite" and "rewrite-no" are variants of "rewrite". */
static bool is_variant(const char *name, const char *prompt)
{
    size_t length = strlen(prompt);
    return strncmp(name, prompt, length) == 0 && (!name[length] || name[length] == '-');
}

static int known_index(const char *name)
{
    for (int i = 0; i < KNOWN; i++) {
        if (is_variant(name, known[i].name))
            return i;
    }
    return -1;
}

/* ---- Reading ------------------------------------------------------------------------- */

struct reader {
    const char *where; /* "configs/prompts/check.txt" */
    struct nc_prompt *prompt;
    size_t line;
    unsigned slots; /* of the known ones, by their place in slot_names, that occurred */
};

static const char *const slot_names[] = {"{caption}", "{object}", "{question}", "{answer}"};
enum { SLOTS = sizeof slot_names / sizeof *slot_names };

static int wrong(const struct reader *reader, const char *what)
{
    return nc_error(NC_BAD_INPUT, "%s line %zu: %s", reader->where, reader->line, what);
}

/* The slot at `text`, or SLOTS. */
static size_t slot_at(const char *text)
{
    size_t slot = 0;
    while (slot < SLOTS && strncmp(text, slot_names[slot], strlen(slot_names[slot])) != 0)
        slot++;
    return slot;
}

static int check_slots(struct reader *reader, const char *line)
{
    int index = known_index(reader->prompt->name);
    for (const char *at = line; (at = strchr(at, '{')); at++) {
        size_t letters = strspn(at + 1, "abcdefghijklmnopqrstuvwxyz_"), slot = slot_at(at);
        size_t named = 0;
        while (named < SLOTS && strncmp(at, slot_names[named], letters + 1) != 0)
            named++;
        /* "{caption:1}" is meant as a slot; "{not a slot}" and "{" may stand in a text. */
        bool meant = named < SLOTS && slot_names[named][letters + 1] == '}';
        if (!letters || (at[letters + 1] != '}' && !meant))
            continue;
        if (slot == SLOTS && meant)
            return nc_error(NC_BAD_INPUT, "%s line %zu: %.*s is no slot: %s is", reader->where,
                            reader->line, (int)letters + 1 + (at[letters + 1] != 0), at,
                            slot_names[named]);
        if (slot < SLOTS && (strstr(known[index].must, slot_names[slot]) ||
                             strstr(known[index].may, slot_names[slot]))) {
            reader->slots |= 1u << slot;
            continue;
        }
        return nc_error(NC_BAD_INPUT, "%s line %zu: %.*s is no slot here: it has %s%s",
                        reader->where, reader->line, (int)letters + 2, at, known[index].must,
                        known[index].may);
    }
    return NC_OK;
}

static int read_setting(struct reader *reader, const char *line)
{
    struct nc_prompt *prompt = reader->prompt;
    char name[32], end[2];
    double value;
    if (line[strspn(line, " \t\r")] == 0 || line[0] == '#')
        return NC_OK;
    if (sscanf(line, "%31[a-z_] : %lf %1s", name, &value, end) != 2 ||
        !(value >= 0 && value <= 1e6))
        return wrong(reader, "neither a comment, nor a setting (\"temperature: 0\"), nor a role "
                             "(\"[user]\")");
    if (strcmp(name, "temperature") == 0)
        prompt->temperature = value;
    else if (strcmp(name, "top_p") == 0)
        prompt->top_p = value;
    else if (strcmp(name, "most_tokens") == 0 && value >= 1)
        prompt->most_tokens = (size_t)value;
    else if (strcmp(name, "one_line") == 0 && value <= 1)
        prompt->one_line = value > 0;
    else if (strcmp(name, "weight") == 0 && value >= 1)
        prompt->weight = (size_t)value;
    else
        return wrong(reader, "no such setting: there are temperature, top_p, most_tokens and "
                             "weight (from 1), and one_line (0 or 1)");
    return NC_OK;
}

static int begin_message(struct reader *reader, const char *role, size_t size)
{
    static const char *const roles[] = {"system", "user", "assistant"};
    struct nc_prompt *prompt = reader->prompt;
    for (size_t i = 0; i < sizeof roles / sizeof *roles; i++) {
        if (strlen(roles[i]) != size || memcmp(roles[i], role, size) != 0)
            continue;
        if (prompt->message_count == MOST_MESSAGES)
            return wrong(reader, "too many messages (at most 64)");
        prompt->messages[prompt->message_count++] = (struct nc_chat_message){roles[i], NULL};
        return NC_OK;
    }
    return wrong(reader, "no such role: there are [system], [user] and [assistant]");
}

/* Texts lie in one block: each line is copied behind its message's, which is trimmed at its end. */
static int read_lines(struct reader *reader, const char *text, char *copy)
{
    struct nc_prompt *prompt = reader->prompt;
    size_t blank = 0; /* empty lines that belong to the message if text follows */
    int status = NC_OK;
    struct nc_lines lines = nc_lines_of(text, strlen(text));
    size_t length;
    for (const char *line; status == NC_OK && nc_lines_next(&lines, &line, &length);
         reader->line++) {
        if (length && line[0] == '[' && line[length - 1] == ']') {
            status = begin_message(reader, line + 1, length - 2);
            copy += prompt->message_count > 1; /* behind the zero of the message before */
            blank = 0;
        } else if (!prompt->message_count) {
            char *setting = strndup(line, length);
            status = setting ? read_setting(reader, setting) : nc_error(NC_FAILED, "no memory");
            free(setting);
        } else {
            struct nc_chat_message *message = &prompt->messages[prompt->message_count - 1];
            while (length && strchr(" \t", line[length - 1]))
                length--;
            if (!message->text)
                message->text = copy;
            for (; length && blank; blank--)
                *copy++ = '\n';
            memcpy(copy, line, length);
            copy[length] = 0;
            status = check_slots(reader, copy);
            copy += length;
            blank += copy > message->text; /* this line's end */
        }
    }
    return status;
}

static int check_complete(struct reader *reader)
{
    struct nc_prompt *prompt = reader->prompt;
    int index = known_index(prompt->name);
    for (size_t i = 0; i < prompt->message_count; i++) {
        if (!prompt->messages[i].text || !*prompt->messages[i].text)
            return nc_error(NC_BAD_INPUT, "%s: message %zu ([%s]) is empty", reader->where, i + 1,
                            prompt->messages[i].role);
    }
    if (!prompt->message_count ||
        strcmp(prompt->messages[prompt->message_count - 1].role, "user") != 0)
        return nc_error(NC_BAD_INPUT, "%s: it must end with a [user] message, which is answered",
                        reader->where);
    for (size_t slot = 0; slot < SLOTS; slot++) {
        if (strstr(known[index].must, slot_names[slot]) && !(reader->slots & 1u << slot))
            return nc_error(NC_BAD_INPUT, "%s: it never uses %s", reader->where, slot_names[slot]);
    }
    return NC_OK;
}

static int parse(const char *where, const char *name, const char *text, struct nc_prompt *prompt)
{
    size_t size = strlen(text), names = strlen(name) + 1;
    char *block = malloc(names + size + 2);
    *prompt = (struct nc_prompt){.most_tokens = DEFAULT_TOKENS,
                                 .temperature = NAN,
                                 .top_p = NAN,
                                 .weight = 1,
                                 .owned = block};
    prompt->messages = calloc(MOST_MESSAGES, sizeof *prompt->messages);
    if (!block || !prompt->messages)
        return nc_error(NC_FAILED, "%s: no memory", where);
    prompt->name = memcpy(block, name, names);
    snprintf(prompt->hash, sizeof prompt->hash, "%016" PRIx64, XXH3_64bits(text, size));
    struct reader reader = {.where = where, .prompt = prompt, .line = 1};
    if (known_index(name) < 0)
        return nc_error(NC_BAD_INPUT,
                        "%s: nothing is asked by that name: there are object, check, rewrite "
                        "and join, and variants such as rewrite-no",
                        where);
    int status = read_lines(&reader, text, block + names);
    return status == NC_OK ? check_complete(&reader) : status;
}

static int add(struct nc_prompts *prompts, const char *where, const char *name, const char *text)
{
    struct nc_prompt *items =
        reallocarray(prompts->items, prompts->count + 1, sizeof *prompts->items);
    if (!items)
        return nc_error(NC_FAILED, "%s: no memory", where);
    prompts->items = items;
    return parse(where, name, text, &items[prompts->count++]);
}

static int add_file(struct nc_prompts *prompts, const char *folder, const char *file)
{
    char *path = nc_path_join(folder, file), *text = NULL;
    char *name = strndup(file, strlen(file) - strlen(".txt"));
    size_t size;
    int status = path && name ? nc_text_read(path, LARGEST_FILE, &text, &size)
                              : nc_error(NC_FAILED, "%s: no memory", folder);
    if (status == NC_OK)
        status = add(prompts, path, name, text);
    free(text);
    free(name);
    free(path);
    return status;
}

static int is_text_file(const struct dirent *entry)
{
    return entry->d_name[0] != '.' && nc_path_ends(entry->d_name, ".txt");
}

static int add_folder(struct nc_prompts *prompts, const char *folder)
{
    struct dirent **entries = NULL;
    int count = scandir(folder, &entries, is_text_file, alphasort), status = NC_OK;
    if (count < 0)
        return nc_error(nc_error_kind(errno), "%s: cannot read this folder of prompts: %m", folder);
    for (int i = 0; i < count; i++) {
        if (status == NC_OK)
            status = add_file(prompts, folder, entries[i]->d_name);
        free(entries[i]);
    }
    free(entries);
    if (status == NC_OK && count == 0)
        status = nc_error(NC_BAD_INPUT, "%s: holds no prompt (NAME.txt)", folder);
    return status;
}

static int compare(const void *a, const void *b)
{
    return strcmp(((const struct nc_prompt *)a)->name, ((const struct nc_prompt *)b)->name);
}

int nc_prompts_load(const char *folder, struct nc_prompts *prompts)
{
    *prompts = (struct nc_prompts){0};
    int status = folder ? add_folder(prompts, folder) : NC_OK;
    bool replaced[KNOWN] = {false};
    for (size_t i = 0; i < prompts->count && status == NC_OK; i++)
        replaced[known_index(prompts->items[i].name)] = true;
    for (size_t i = 0; nc_prompt_names[i] && status == NC_OK; i++) {
        int index = known_index(nc_prompt_names[i]);
        if (index < 0 || !replaced[index])
            status = add(prompts, nc_prompt_names[i], nc_prompt_names[i], nc_prompt_texts[i]);
    }
    if (status == NC_OK)
        qsort(prompts->items, prompts->count, sizeof *prompts->items, compare);
    else
        nc_prompts_free(prompts);
    return status;
}

void nc_prompts_free(struct nc_prompts *prompts)
{
    for (size_t i = 0; i < prompts->count; i++) {
        free(prompts->items[i].messages);
        free(prompts->items[i].owned);
    }
    free(prompts->items);
    *prompts = (struct nc_prompts){0};
}

int nc_prompts_write(const char *folder)
{
    int status = nc_folder_create(folder);
    for (size_t i = 0; nc_prompt_names[i] && status == NC_OK; i++) {
        char *path = NULL;
        if (asprintf(&path, "%s/%s.txt", folder, nc_prompt_names[i]) < 0)
            return nc_error(NC_FAILED, "%s: no memory", folder);
        if (!nc_file_exists(path))
            status = nc_file_write(path, nc_prompt_texts[i], strlen(nc_prompt_texts[i]));
        free(path);
    }
    return status;
}

/* ---- Using them ---------------------------------------------------------------------- */

static bool allowed(const struct nc_prompt *item, const char *prompt, const char *const *only,
                    size_t only_count)
{
    if (!is_variant(item->name, prompt))
        return false;
    const char *variant = item->name + strlen(prompt);
    variant += *variant == '-';
    for (size_t i = 0; i < only_count; i++) {
        if (strcmp(only[i], variant) == 0)
            return true;
    }
    return only_count == 0;
}

const struct nc_prompt *nc_prompts_choose(const struct nc_prompts *prompts, const char *prompt,
                                          const char *const *only, size_t only_count,
                                          uint64_t chance)
{
    uint64_t total = 0;
    for (size_t i = 0; i < prompts->count; i++) {
        if (allowed(&prompts->items[i], prompt, only, only_count))
            total += prompts->items[i].weight;
    }
    uint64_t at = total ? chance % total : 0;
    for (size_t i = 0; i < prompts->count && total; i++) {
        if (!allowed(&prompts->items[i], prompt, only, only_count))
            continue;
        if (at < prompts->items[i].weight)
            return &prompts->items[i];
        at -= prompts->items[i].weight;
    }
    return NULL;
}

/* A caption in quotes reads better without its full stop. */
static size_t value_length(const char *value)
{
    size_t length = strlen(value);
    while (length && strchr(" \t\r\n.", value[length - 1]))
        length--;
    return length;
}

/* Appends the text with its slots filled and a zero; only counts where `to` is NULL. */
static size_t fill(const char *text, const char *const values[SLOTS], char *to)
{
    size_t length = 0;
    while (*text) {
        size_t slot = slot_at(text);
        const char *piece = slot < SLOTS ? values[slot] : text;
        size_t size = slot < SLOTS ? (piece ? value_length(piece) : 0) : 1;
        if (to && size)
            memcpy(to + length, piece, size);
        length += size;
        text += slot < SLOTS ? strlen(slot_names[slot]) : 1;
    }
    if (to)
        to[length] = 0;
    return length + 1;
}

struct nc_chat_message *nc_prompt_fill(const struct nc_prompt *prompt,
                                       const struct nc_prompt_slots *slots)
{
    const char *const values[SLOTS] = {slots->caption, slots->object, slots->question,
                                       slots->answer};
    size_t size = prompt->message_count * sizeof(struct nc_chat_message);
    for (size_t i = 0; i < prompt->message_count; i++)
        size += fill(prompt->messages[i].text, values, NULL);
    struct nc_chat_message *messages = malloc(size);
    if (!messages)
        return NULL;
    char *at = (char *)(messages + prompt->message_count);
    for (size_t i = 0; i < prompt->message_count; i++) {
        messages[i] = (struct nc_chat_message){prompt->messages[i].role, at};
        at += fill(prompt->messages[i].text, values, at);
    }
    return messages;
}

int nc_prompt_ask(struct nc_chat *chat, const struct nc_prompt *prompt,
                  const struct nc_prompt_question *question, size_t tag)
{
    struct nc_chat_message *messages = nc_prompt_fill(prompt, &question->slots);
    if (!messages)
        return nc_error(NC_FAILED, "no memory for a request");
    int status = nc_chat_ask(
        chat,
        &(struct nc_chat_request){
            .server = question->server,
            .step = question->step,
            .prompt = prompt->hash,
            .messages = messages,
            .message_count = prompt->message_count,
            .picture = question->picture,
            .picture_size = question->picture_size,
            .temperature = isnan(prompt->temperature) ? question->temperature : prompt->temperature,
            .top_p = isnan(prompt->top_p) ? question->top_p : prompt->top_p,
            .most_tokens = prompt->most_tokens,
            .one_line = prompt->one_line,
            .seed = (uint32_t)(question->seed & 0x7fffffff),
        },
        tag);
    free(messages);
    return status;
}
