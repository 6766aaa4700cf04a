/* Writes and reads checkpoints (checkpoint.h). */
#include "checkpoint.h"

#include "schema.h"
#include "nclip/checkpoints/safetensors.h"
#include "nclip/checkpoints/tensors.h"
#include "nclip/formats/json.h"
#include "nclip/support/error.h"
#include "nclip/support/files.h"

#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int no_memory(void)
{
    return nc_error(NC_FAILED, "checkpoint: no memory");
}

static bool has_moments(const struct nc_step *step, const struct nc_parameter *row)
{
    return row->tower == NC_TOWER_TEXT && step->trainable[row - step->table->rows];
}

/* Rank 0 reads and writes; the others hand it their moments, and get what it has read. */
static bool is_writer(const struct nc_step *step)
{
    return !step->ranks || step->ranks->rank == 0;
}

static const char *const moment_names[2] = {"first", "second"};

/* SGD without momentum keeps none: then there is no file of them. */
static bool keeps_moments(const struct nc_config *config)
{
    return nc_step_has_moment(config, 0) || nc_step_has_moment(config, 1);
}

/* Room for both moments in the layout of the parameters, zeros; NULL for one that is not kept. */
static int allocate_moments(const struct nc_step *step, float *moments[2])
{
    size_t bytes = step->table->tower_elements[NC_TOWER_TEXT] * sizeof(float);
    for (int which = 0; which < 2; which++) {
        moments[which] = NULL;
        if (nc_step_has_moment(step->config, which) && !(moments[which] = calloc(1, bytes)))
            return no_memory();
    }
    return NC_OK;
}

/* ---- Saving --------------------------------------------------------------------------- */

static int declare_moments(const struct nc_step *step, struct nc_safetensors_writer *writer)
{
    char name[128];
    for (int which = 0; which < 2; which++) {
        for (size_t i = 0; i < step->table->count; i++) {
            const struct nc_parameter *row = &step->table->rows[i];
            if (!nc_step_has_moment(step->config, which) || !has_moments(step, row))
                continue;
            snprintf(name, sizeof name, "%s.%s", moment_names[which], row->name);
            int status =
                nc_safetensors_writer_declare(writer, name, "F32", row->rank, row->shape);
            if (status != NC_OK)
                return status;
        }
    }
    return NC_OK;
}

/* The moments of all ranks, in host memory. Every rank takes part. */
static int collect_moments(struct nc_step *step, float *const moments[2])
{
    int status = NC_OK;
    for (int which = 0; which < 2 && status == NC_OK; which++)
        if (moments[which])
            status = nc_step_read_moments(step, which, moments[which]);
    return status;
}

static int write_moments(const struct nc_step *step, const char *path, float *const moments[2])
{
    struct nc_safetensors_writer *writer;
    int status = nc_safetensors_writer_create(path, NULL, &writer);
    if (status != NC_OK)
        return status;
    status = declare_moments(step, writer);
    for (int which = 0; which < 2 && status == NC_OK; which++) {
        for (size_t i = 0; i < step->table->count && status == NC_OK; i++) {
            const struct nc_parameter *row = &step->table->rows[i];
            if (moments[which] && has_moments(step, row))
                status = nc_safetensors_writer_data(writer, moments[which] + row->offset,
                                                    row->count * sizeof(float));
        }
    }
    if (status != NC_OK) {
        nc_safetensors_writer_abort(writer);
        return status;
    }
    return nc_safetensors_writer_commit(writer);
}

/* Numbers that JSON readers might round are kept as strings. */
static int write_position(const char *path, uint64_t examples, const char *config_text,
                          const struct nc_position *position)
{
    char text[64];
    cJSON *root = cJSON_CreateObject();
    bool made = root && cJSON_AddNumberToObject(root, "version", 1) &&
                cJSON_AddNumberToObject(root, "step", (double)position->step) &&
                cJSON_AddNumberToObject(root, "epoch", (double)position->epoch) &&
                cJSON_AddNumberToObject(root, "batch", (double)position->batch) &&
                cJSON_AddNumberToObject(root, "best_epoch", (double)position->best_epoch);
    snprintf(text, sizeof text, "%.17g", position->best_validation_loss);
    made = made && cJSON_AddStringToObject(root, "best_validation_loss", text);
    snprintf(text, sizeof text, "%.17g", position->epoch_loss);
    made = made && cJSON_AddStringToObject(root, "epoch_loss", text);
    snprintf(text, sizeof text, "%016llx", (unsigned long long)examples);
    made = made && cJSON_AddStringToObject(root, "examples", text) &&
           cJSON_AddStringToObject(root, "config", config_text);
    return nc_json_write(path, root, made);
}

static char *path_in(const char *folder, const char *sub, const char *name)
{
    char *path = NULL;
    return asprintf(&path, "%s/%s%s%s", folder, sub, *name ? "/" : "", name) < 0 ? NULL : path;
}

/* Removes what was staged; that may fail too, and less aptly. */
static void clear_up(const char *staged, int status)
{
    char message[2048];
    snprintf(message, sizeof message, "%s", nc_error_message());
    (void)nc_folder_remove(staged);
    nc_error(status, "%s", message);
}

static int save_files(const char *run_folder, const struct nc_model *model, struct nc_step *step,
                      uint64_t examples, const char *config_text,
                      const struct nc_position *position, float *const saved[2])
{
    char name[64];
    snprintf(name, sizeof name, "last.partial-%ld", (long)getpid());
    char *staged = path_in(run_folder, name, ""), *final = path_in(run_folder, "last", "");
    char *moments = path_in(run_folder, name, "optimizer.safetensors");
    char *where = path_in(run_folder, name, "training.json");
    size_t bytes = step->table->tower_elements[NC_TOWER_TEXT] * sizeof(float);
    float *host = malloc(bytes);
    int status = NC_OK;
    if (!staged || !final || !moments || !where || !host)
        status = no_memory();
    if (status == NC_OK)
        status = nc_folder_remove(staged);
    if (status == NC_OK)
        status = step->ops->download(step->ops->backend, host, step->master, bytes);
    if (status == NC_OK)
        status = nc_model_save(model, staged, host, NC_FLOAT32);
    if (status == NC_OK && keeps_moments(step->config))
        status = write_moments(step, moments, saved);
    if (status == NC_OK)
        status = write_position(where, examples, config_text, position);
    if (status == NC_OK)
        status = nc_folder_publish(staged, final);
    if (status != NC_OK && staged)
        clear_up(staged, status);
    free(staged);
    free(final);
    free(moments);
    free(where);
    free(host);
    return status;
}

int nc_checkpoint_save(const char *run_folder, const struct nc_model *model, struct nc_step *step,
                       uint64_t examples, const char *config_text,
                       const struct nc_position *position)
{
    float *moments[2] = {NULL, NULL};
    int status = allocate_moments(step, moments);
    if (status == NC_OK)
        status = collect_moments(step, moments);
    if (status == NC_OK && is_writer(step)) {
        nc_communicator_ask_patience(step->ranks, true);
        status = save_files(run_folder, model, step, examples, config_text, position, moments);
        nc_communicator_ask_patience(step->ranks, false);
    }
    free(moments[0]);
    free(moments[1]);
    return status;
}

/* ---- Promoting ------------------------------------------------------------------------ */

static int copy_file(const char *from, const char *to)
{
    struct nc_mapping mapping;
    int status = nc_file_map(from, &mapping);
    if (status != NC_OK)
        return status;
    status = nc_file_write(to, mapping.data, mapping.size);
    nc_file_unmap(&mapping);
    return status;
}

int nc_checkpoint_promote(const char *run_folder)
{
    char name[64];
    snprintf(name, sizeof name, "best.partial-%ld", (long)getpid());
    char *staged = path_in(run_folder, name, ""), *final = path_in(run_folder, "best", "");
    char *last = path_in(run_folder, "last", "");
    DIR *directory = NULL;
    int status = staged && final && last ? NC_OK : no_memory();
    if (status == NC_OK)
        status = nc_folder_remove(staged);
    if (status == NC_OK)
        status = nc_folder_create(staged);
    if (status == NC_OK && !(directory = opendir(last)))
        status = nc_error(NC_FAILED, "%s: cannot read: %s", last, strerror(errno));
    struct dirent *entry;
    while (status == NC_OK && (entry = readdir(directory))) {
        if (entry->d_name[0] == '.')
            continue;
        char *from = nc_path_join(last, entry->d_name), *to = nc_path_join(staged, entry->d_name);
        if (!from || !to)
            status = no_memory();
        else if (link(from, to) != 0)
            status = copy_file(from, to);
        free(from);
        free(to);
    }
    if (directory)
        closedir(directory);
    if (status == NC_OK)
        status = nc_folder_publish(staged, final);
    if (status != NC_OK && staged)
        clear_up(staged, status);
    free(staged);
    free(final);
    free(last);
    return status;
}

/* Calls `use` with each folder of the run that was being staged as `name`. */
static int each_staged(const char *run_folder, const char *name,
                       int (*use)(const char *path, const char *final), const char *final)
{
    char start[32];
    DIR *directory = opendir(run_folder);
    if (!directory)
        return nc_error(NC_FAILED, "%s: cannot read: %s", run_folder, strerror(errno));
    snprintf(start, sizeof start, "%s.partial-", name);
    int status = NC_OK;
    struct dirent *entry;
    while (status == NC_OK && (entry = readdir(directory))) {
        if (strncmp(entry->d_name, start, strlen(start)) != 0)
            continue;
        char *path = nc_path_join(run_folder, entry->d_name);
        status = path ? use(path, final) : no_memory();
        free(path);
    }
    closedir(directory);
    return status;
}

static int remove_staged(const char *path, const char *final)
{
    (void)final;
    return nc_folder_remove(path);
}

/* training.json is written last: with it the checkpoint is complete, and only its name was missing. */
static int publish_complete(const char *path, const char *final)
{
    char *where = nc_path_join(path, "training.json");
    int status = where ? NC_OK : no_memory();
    if (status == NC_OK && nc_file_exists(where) && !nc_folder_exists(final))
        status = nc_folder_publish(path, final);
    free(where);
    return status;
}

int nc_checkpoint_recover(const char *run_folder)
{
    char *last = path_in(run_folder, "last", ""), *best = path_in(run_folder, "best", "");
    int status = last && best ? NC_OK : no_memory();
    /* The complete one is newer than the one that stepped aside for it. */
    if (status == NC_OK && !nc_folder_exists(last))
        status = each_staged(run_folder, "last", publish_complete, last);
    if (status == NC_OK)
        status = nc_folder_recover(last);
    if (status == NC_OK)
        status = nc_folder_recover(best);
    free(last);
    free(best);
    return status;
}

int nc_checkpoint_clear(const char *run_folder)
{
    int status = each_staged(run_folder, "last", remove_staged, NULL);
    return status == NC_OK ? each_staged(run_folder, "best", remove_staged, NULL) : status;
}

/* ---- Loading -------------------------------------------------------------------------- */

/* The line of `text` that sets what `line` sets. Where there is none, the key had the value of before
 * there was such a key, and `buffer` says so. */
static const char *line_of_key(const char *text, const char *line, char *buffer, size_t size)
{
    char name[64];
    snprintf(name, sizeof name, "%.*s", (int)strcspn(line, ":\n"), line);
    size_t length = strlen(name);
    for (; *text; text += strcspn(text, "\n"), text += *text == '\n')
        if (strncmp(text, name, length) == 0 && text[length] == ':')
            return text;
    const struct config_key *key = config_key_find(name);
    snprintf(buffer, size, "%s: %s", name, key && key->before ? key->before : "not set");
    return buffer;
}

/* Says which line of the resolved config differs. */
static int config_differs(const char *path, const char *then, const char *now)
{
    const char *was = then, *is = now;
    char buffer[96];
    while (*was && *was == *is) {
        const char *a = strchr(was, '\n'), *b = strchr(is, '\n');
        size_t length = a ? (size_t)(a - was) + 1 : strlen(was);
        if (!a || !b || strncmp(was, is, length) != 0)
            break;
        was += length;
        is += length;
    }
    /* Two keys: one of them stands in one text alone. A heading, or the end, is none. */
    if (!strchr("\n#", *is) && line_of_key(then, is, buffer, sizeof buffer) == buffer)
        was = buffer;
    else
        is = line_of_key(now, was, buffer, sizeof buffer);
    return nc_error(
        NC_BAD_INPUT,
        "%s: was made with another config (\"%.*s\" then, \"%.*s\" now); resume with the "
        "same config or start a new run folder",
        path, (int)strcspn(was, "\n"), was, (int)strcspn(is, "\n"), is);
}

static int read_position(const char *path, uint64_t examples,
                         const char *config_text, struct nc_position *position)
{
    cJSON *root;
    int status = nc_json_load(path, &root);
    if (status != NC_OK)
        return status;
    size_t version = 0, step = 0, epoch = 0, batch = 0, best_epoch = 0;
    const char *best = "", *loss = "", *fingerprint = "", *config = "";
    char expected[32];
    snprintf(expected, sizeof expected, "%016llx", (unsigned long long)examples);
    struct {
        const char *key;
        size_t *value;
    } numbers[] = {{"version", &version}, {"step", &step}, {"epoch", &epoch}, {"batch", &batch},
                   {"best_epoch", &best_epoch}};
    struct {
        const char *key;
        const char **value;
    } strings[] = {{"best_validation_loss", &best}, {"epoch_loss", &loss},
                   {"examples", &fingerprint}, {"config", &config}};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers && status == NC_OK; i++)
        status = nc_json_size(path, root, numbers[i].key, numbers[i].value);
    for (size_t i = 0; i < sizeof strings / sizeof *strings && status == NC_OK; i++)
        status = nc_json_string(path, root, strings[i].key, strings[i].value);
    if (status == NC_OK && version != 1)
        status = nc_error(NC_BAD_INPUT, "%s: version %zu is newer than this program knows (1)",
                          path, version);
    if (status == NC_OK && strcmp(config, config_text) != 0)
        status = config_differs(path, config, config_text);
    if (status == NC_OK && strcmp(fingerprint, expected) != 0)
        status = nc_error(NC_BAD_INPUT,
                          "%s: was made from other captions or embeddings; resume with the same "
                          "files or start a new run folder", path);
    if (status == NC_OK)
        *position = (struct nc_position){.step = step, .epoch = epoch, .batch = batch,
                                         .best_validation_loss = strtod(best, NULL),
                                         .best_epoch = best_epoch,
                                         .epoch_loss = strtod(loss, NULL)};
    cJSON_Delete(root);
    return status;
}

static int read_moments(const char *path, const struct nc_step *step, float *const moments[2])
{
    struct nc_tensors *file;
    int status = nc_tensors_open(path, &file);
    if (status != NC_OK)
        return status;
    char name[128];
    for (int which = 0; which < 2 && status == NC_OK; which++) {
        for (size_t i = 0; i < step->table->count && status == NC_OK; i++) {
            const struct nc_parameter *row = &step->table->rows[i];
            if (!moments[which] || !has_moments(step, row))
                continue;
            snprintf(name, sizeof name, "%s.%s", moment_names[which], row->name);
            const struct nc_tensor *tensor = nc_tensors_find(file, name);
            if (!tensor || tensor->type != NC_FLOAT32 || tensor->count != row->count)
                status = nc_error(NC_BAD_INPUT, "%s: \"%s\" is missing or has another shape", path,
                                  name);
            else
                memcpy(moments[which] + row->offset, tensor->data, tensor->bytes);
        }
    }
    if (status == NC_OK)
        status =
            step->ops->synchronize(step->ops->backend); /* the file's bytes are read until then */
    nc_tensors_close(file);
    return status;
}

static int load_files(const char *run_folder, const struct nc_step *step, uint64_t examples,
                      const char *config_text, struct nc_position *position, float *parameters,
                      float *const saved[2])
{
    char *last = path_in(run_folder, "last", "");
    char *moments = path_in(run_folder, "last", "optimizer.safetensors");
    char *where = path_in(run_folder, "last", "training.json");
    struct nc_model *model = NULL;
    int status = last && moments && where ? NC_OK : no_memory();
    if (status == NC_OK)
        status = read_position(where, examples, config_text, position);
    if (status == NC_OK)
        status = nc_model_open(last, &model);
    if (status == NC_OK && nc_model_table(model)->tower_elements[NC_TOWER_TEXT] !=
                               step->table->tower_elements[NC_TOWER_TEXT])
        status = nc_error(NC_BAD_INPUT, "%s: is a model of another shape than --model", last);
    if (status == NC_OK)
        status = nc_model_load(model, NC_TOWER_TEXT, parameters);
    if (status == NC_OK && keeps_moments(step->config))
        status = read_moments(moments, step, saved);
    nc_model_close(model);
    free(last);
    free(moments);
    free(where);
    return status;
}

int nc_checkpoint_position(const char *run_folder, uint64_t examples, const char *config_text,
                           struct nc_position *position)
{
    char *where = path_in(run_folder, "last", "training.json");
    int status = where ? read_position(where, examples, config_text, position) : no_memory();
    free(where);
    return status;
}

int nc_checkpoint_load(const char *run_folder, struct nc_step *step,
                       uint64_t examples, const char *config_text,
                       struct nc_position *position)
{
    size_t bytes = step->table->tower_elements[NC_TOWER_TEXT] * sizeof(float);
    float *parameters = calloc(1, bytes), *moments[2] = {NULL, NULL};
    int status = parameters ? allocate_moments(step, moments) : no_memory();
    if (status == NC_OK && is_writer(step))
        status = load_files(run_folder, step, examples, config_text, position, parameters, moments);
    if (status == NC_OK && step->ranks)
        status = nc_communicator_share(step->ranks, position, sizeof *position);
    if (status == NC_OK && step->ranks)
        status = nc_communicator_share(step->ranks, parameters, bytes);
    for (int which = 0; which < 2 && status == NC_OK && step->ranks; which++)
        if (moments[which])
            status = nc_communicator_share(step->ranks, moments[which], bytes);
    if (status == NC_OK)
        status = nc_step_set_parameters(step, parameters);
    for (int which = 0; which < 2 && status == NC_OK; which++)
        if (moments[which])
            status = nc_step_write_moments(step, which, moments[which]);
    free(parameters);
    free(moments[0]);
    free(moments[1]);
    return status;
}
