/* nclip doctor: what this machine can run, and what of a checkpoint. */
#include "model_folder.h"

#include "nclip/checkpoints/identify.h"
#include "nclip/cli/command.h"
#include "nclip/devices.h"
#include "nclip/formats/json.h"
#include "nclip/ranks/communicator.h"
#include "nclip/support/error.h"
#include "nclip/support/files.h"
#include "nclip/train/check.h"

#include <omp.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct machine {
    char cpu[128];
    char features[4096];                         /* the kernel's list, with a space at both ends */
    int cores;                                   /* that this process may use */
    unsigned long long memory, memory_available; /* bytes; 0: unknown */
};

/* ---- What the kernel tells ---------------------------------------------------------- */

/* The value of the first line "key : value" of a file of /proc; false when there is none. */
static bool proc_value(const char *path, const char *key, char *value, size_t size)
{
    FILE *file = fopen(path, "re");
    if (!file)
        return false;
    char *line = NULL;
    size_t capacity = 0;
    bool found = false;
    while (!found && getline(&line, &capacity, file) >= 0) {
        size_t length = strlen(key);
        if (strncmp(line, key, length) != 0 || !strchr(" \t:", line[length]))
            continue;
        const char *text = strchr(line, ':');
        if (text) {
            text += 1 + strspn(text + 1, " \t");
            snprintf(value, size, "%.*s", (int)strcspn(text, "\n"), text);
            found = true;
        }
    }
    free(line);
    fclose(file);
    return found;
}

static unsigned long long proc_bytes(const char *key)
{
    char value[64];
    return proc_value("/proc/meminfo", key, value, sizeof value) ? strtoull(value, NULL, 10) * 1024
                                                                 : 0;
}

/* A container may get less than the machine has. */
static unsigned long long container_limit(void)
{
    unsigned long long limit = 0;
    FILE *file = fopen("/sys/fs/cgroup/memory.max", "re");
    if (file) {
        if (fscanf(file, "%llu", &limit) != 1) /* "max" */
            limit = 0;
        fclose(file);
    }
    return limit;
}

static void look_at_machine(struct machine *machine)
{
    *machine = (struct machine){.cpu = "unknown"};
    proc_value("/proc/cpuinfo", "model name", machine->cpu, sizeof machine->cpu);
    char list[sizeof machine->features - 2] = "";
    if (!proc_value("/proc/cpuinfo", "flags", list, sizeof list))
        proc_value("/proc/cpuinfo", "Features", list, sizeof list); /* ARM */
    snprintf(machine->features, sizeof machine->features, " %s ", list);

    cpu_set_t allowed;
    machine->cores = sched_getaffinity(0, sizeof allowed, &allowed) == 0 ? CPU_COUNT(&allowed) : 1;

    unsigned long long limit = container_limit();
    machine->memory = proc_bytes("MemTotal");
    machine->memory_available = proc_bytes("MemAvailable");
    if (limit && limit < machine->memory) {
        machine->memory = limit;
        if (machine->memory_available > limit)
            machine->memory_available = limit;
    }
}

static bool has_feature(const struct machine *machine, const char *name)
{
    char word[32];
    snprintf(word, sizeof word, " %s ", name);
    return strstr(machine->features, word) != NULL;
}

/* ---- What the backend makes of it --------------------------------------------------- */

struct precision {
    const char *name;
    const char *support; /* "native", "widened", "no" */
    const char *kernel;
    const char *advice;
};

static void judge_precisions(const struct nc_cpu_support *cpu, struct precision precisions[2])
{
    const char *fp32 = *cpu->fp32_kernel ? "native" : "no";
    precisions[0] = (struct precision){"fp32", fp32, cpu->fp32_kernel, "the reference"};
    precisions[1] = (struct precision){"bf16", "native", cpu->bf16_kernel, "the fast one here"};
    if (!cpu->multiplies_bf16) {
        precisions[1].support = "widened";
        precisions[1].advice = "panels of bf16 become fp32 in the cache and are multiplied as such; "
                               "half the memory of fp32 at about its speed";
    }
}

/* ---- The report ---------------------------------------------------------------------- */

static const struct {
    const char *flag, *name;
} features[] = {
    {"avx2", "AVX2"},       {"fma", "FMA"},
    {"avx512f", "AVX-512"}, {"avx512_bf16", "AVX-512 BF16"},
    {"amx_tile", "AMX"},    {"amx_bf16", "AMX BF16"},
};
enum { FEATURES = sizeof features / sizeof *features };

static void print_text(const struct machine *machine, const struct nc_cpu_support *cpu,
                       const struct precision precisions[2])
{
    printf("processor  %s, %d core%s for this process\n", machine->cpu, machine->cores,
           machine->cores == 1 ? "" : "s");
    printf("features  ");
    for (size_t i = 0; i < FEATURES; i++)
        printf(" %s %s%s", features[i].name, has_feature(machine, features[i].flag) ? "yes" : "no",
               i + 1 < FEATURES ? "," : "\n");
    if (machine->memory)
        printf("memory     %.1f GiB, %.1f GiB of it free\n", (double)machine->memory / 0x1p30,
               (double)machine->memory_available / 0x1p30);
    printf("threads    %d (OpenMP; set OMP_NUM_THREADS to change)\n", omp_get_max_threads());
    printf("kernels    for %s, of those for %s (set NCLIP_CPU to choose)\n", cpu->level, cpu->levels);
    printf("oneDNN     %s, using %s\n", cpu->onednn, cpu->isa);
    for (size_t i = 0; i < 2; i++)
        printf("%-10s %s%s%s: %s\n", precisions[i].name, precisions[i].support,
               *precisions[i].kernel ? ", by " : "", precisions[i].kernel, precisions[i].advice);
}

static const char *or_none(const char *version)
{
    return *version ? version : "not found";
}

static void print_gpus(const struct nc_gpu_support *s)
{
    if (s->built)
        printf("cuda       %s, the driver's %s; cuBLASLt %s, cuDNN %s\n", s->toolkit,
               or_none(s->driver), or_none(s->cublaslt), or_none(s->cudnn));
    for (size_t i = 0; i < s->count; i++) {
        const struct nc_gpu *gpu = &s->gpus[i];
        printf("gpu %-6zu %s, compute capability %d.%d, %d multiprocessors, %.1f GiB, %.1f GiB of "
               "it free%s\n",
               i, gpu->name, gpu->major, gpu->minor, gpu->multiprocessors,
               (double)gpu->memory / 0x1p30, (double)gpu->available / 0x1p30,
               gpu->usable ? "" : ": too old for these kernels");
    }
    if (*s->problem)
        printf("%-10s %s\n", s->built ? "gpus" : "cuda", s->problem);
    printf("advice     %s\n",
           *s->problem ? "train, embed and evaluate on the processor (--device cpu, the default)"
                       : "train with --device cuda --set precision=bf16, embed and evaluate with "
                         "--device cuda --precision bf16");
}

static void add_gpus(cJSON *root, const struct nc_gpu_support *s)
{
    cJSON *cuda = cJSON_AddObjectToObject(root, "cuda");
    cJSON_AddBoolToObject(cuda, "built", s->built);
    cJSON_AddStringToObject(cuda, "toolkit", s->toolkit);
    cJSON_AddStringToObject(cuda, "driver", s->driver);
    cJSON_AddStringToObject(cuda, "cublaslt", s->cublaslt);
    cJSON_AddStringToObject(cuda, "cudnn", s->cudnn);
    cJSON_AddStringToObject(cuda, "problem", s->problem);
    cJSON *gpus = cJSON_AddArrayToObject(cuda, "gpus");
    for (size_t i = 0; i < s->count; i++) {
        const struct nc_gpu *gpu = &s->gpus[i];
        cJSON *object = cJSON_CreateObject();
        char capability[32];
        snprintf(capability, sizeof capability, "%d.%d", gpu->major, gpu->minor);
        cJSON_AddStringToObject(object, "name", gpu->name);
        cJSON_AddStringToObject(object, "compute_capability", capability);
        cJSON_AddNumberToObject(object, "multiprocessors", gpu->multiprocessors);
        cJSON_AddNumberToObject(object, "memory", (double)gpu->memory);
        cJSON_AddNumberToObject(object, "memory_available", (double)gpu->available);
        cJSON_AddBoolToObject(object, "usable", gpu->usable);
        cJSON_AddItemToArray(gpus, object);
    }
}

static int print_json(const struct machine *machine, const struct nc_cpu_support *support,
                      const struct precision precisions[2], const struct nc_gpu_support *gpus)
{
    cJSON *root = cJSON_CreateObject();
    cJSON_AddStringToObject(root, "version", NCLIP_VERSION);
    cJSON *cpu = cJSON_AddObjectToObject(root, "cpu");
    cJSON_AddStringToObject(cpu, "model", machine->cpu);
    cJSON_AddNumberToObject(cpu, "cores", machine->cores);
    cJSON_AddNumberToObject(cpu, "threads", omp_get_max_threads());
    cJSON *flags = cJSON_AddObjectToObject(cpu, "features");
    for (size_t i = 0; i < FEATURES; i++)
        cJSON_AddBoolToObject(flags, features[i].flag, has_feature(machine, features[i].flag));
    cJSON_AddStringToObject(cpu, "level", support->level);
    cJSON_AddStringToObject(cpu, "levels", support->levels);
    cJSON_AddNumberToObject(root, "memory", (double)machine->memory);
    cJSON_AddNumberToObject(root, "memory_available", (double)machine->memory_available);
    cJSON *onednn = cJSON_AddObjectToObject(root, "onednn");
    cJSON_AddStringToObject(onednn, "version", support->onednn);
    cJSON_AddStringToObject(onednn, "isa", support->isa);
    cJSON *list = cJSON_AddObjectToObject(root, "precisions");
    for (size_t i = 0; i < 2; i++) {
        cJSON *precision = cJSON_AddObjectToObject(list, precisions[i].name);
        cJSON_AddStringToObject(precision, "support", precisions[i].support);
        cJSON_AddStringToObject(precision, "kernel", precisions[i].kernel);
    }
    add_gpus(root, gpus);

    return nc_json_print(stdout, root, true);
}

/* ---- A checkpoint ---------------------------------------------------------------------- */

static int look_at_model(const char *given, bool json)
{
    char *path = model_folder(given);
    int status = path ? nc_checkpoint_tell(path, stdout, json)
                      : nc_error(NC_FAILED, "doctor: no memory");
    free(path);
    return status;
}

/* ---- Every operation against the oracle --------------------------------------------------- */

struct check {
    const char *device, *file;
    bool json;
    struct nc_communicator *ranks; /* NULL: alone; rank 0 tells of its own checks, others of what
                                      is wrong */
    size_t right, wrong, left_out;
    cJSON *rows;
};

static void hear(void *context, const struct nc_check_row *row)
{
    static const char *const results[] = {"right", "WRONG", "left out"};
    struct check *check = context;
    *(row->result == NC_CHECK_RIGHT   ? &check->right
      : row->result == NC_CHECK_WRONG ? &check->wrong
                                      : &check->left_out) += 1;
    cJSON *object = cJSON_CreateObject();
    cJSON_AddStringToObject(object, "what", row->what);
    cJSON_AddStringToObject(object, "shape", row->shape);
    cJSON_AddStringToObject(object, "precision", row->precision);
    cJSON_AddStringToObject(object, "result", results[row->result]);
    cJSON_AddNumberToObject(object, "error", row->error);
    cJSON_AddNumberToObject(object, "allowed", row->allowed);
    cJSON_AddNumberToObject(object, "seconds", row->seconds);
    cJSON_AddStringToObject(object, "message", row->message);
    cJSON_AddItemToArray(check->rows, object);
    if (check->ranks && check->ranks->rank) {
        if (row->result == NC_CHECK_WRONG)
            fprintf(stderr, "rank %zu: %s %s %s: %s\n", check->ranks->rank, row->what, row->shape,
                    row->precision, row->message);
        return;
    }
    if (check->json)
        return;
    printf("%-24s %-32s %-5s %-9s", row->what, row->shape, row->precision, results[row->result]);
    if (row->allowed > 0)
        printf(" %.1e of %.1e", row->error, row->allowed);
    printf(" %8.1f ms%s%s\n", 1e3 * row->seconds, *row->message ? "  " : "", row->message);
    fflush(stdout);
}

static int write_check(const struct check *check, cJSON *root)
{
    char *text = cJSON_Print(root);
    int status = text ? NC_OK : nc_error(NC_FAILED, "doctor: no memory");
    if (status == NC_OK && check->file)
        status = nc_file_write(check->file, text, strlen(text));
    cJSON_free(text);
    return status;
}

/* The table's end and the file, at rank 0; whether anything was wrong, at any. */
static int tell(struct check *check, cJSON *root)
{
    double wrong = (double)check->wrong;
    int status = check->ranks ? nc_communicator_sum(check->ranks, &wrong, 1) : NC_OK;
    if (status != NC_OK)
        return status;
    if (!check->ranks || !check->ranks->rank) {
        status = write_check(check, root);
        if (status == NC_OK && check->json)
            status = nc_json_print(stdout, cJSON_Duplicate(root, true), true);
        else if (status == NC_OK)
            printf("%zu right, %zu wrong, %zu left out\n", check->right, check->wrong,
                   check->left_out);
    }
    return status != NC_OK || !(wrong > 0)
               ? status
               : nc_error(NC_FAILED,
                          "%s: %.0f checks went wrong; results of this device cannot be trusted",
                          check->device, wrong);
}

static int check_device(struct check *check)
{
    struct nc_ops *ops = NULL;
    cJSON *root = cJSON_CreateObject();
    setenv("NCLIP_CUDA_FILL", "nan", 0); /* what is never written shows */
    cJSON_AddStringToObject(root, "device", check->device);
    cJSON_AddStringToObject(root, "version", NCLIP_VERSION);
    check->rows = cJSON_AddArrayToObject(root, "checks");
    bool real = strcmp(check->device, "cuda") == 0; /* others take minutes for these shapes */
    int status = nc_communicator_create(&check->ranks);
    if (status == NC_OK)
        status =
            nc_ops_create(check->device, check->ranks ? (int)check->ranks->local_rank : 0, &ops);
    if (status == NC_OK)
        status = nc_check_device(ops, check->ranks, real, hear, check);
    if (status != NC_OK && check->ranks)
        nc_communicator_abort(check->ranks, status);
    nc_ops_destroy(ops);
    if (status == NC_OK)
        status = tell(check, root);
    if (check->ranks) { /* mpirun kills what is left once the first rank ends */
        if (status != NC_OK && !check->ranks->rank)
            fprintf(stderr, "nclip: %s\n", nc_error_message());
        fflush(stdout);
        (void)nc_communicator_barrier(check->ranks);
        nc_error_silence();
    }
    nc_communicator_destroy(check->ranks);
    cJSON_Delete(root);
    return status;
}

static int run(int argc, char **argv)
{
    static const struct nc_help help = {
        .usage = "nclip doctor [--json] [--model X | --check [--device NAME] [--out FILE]]",
        .purpose =
            "Tells what this machine can run: processor, memory, the library that multiplies "
            "matrices, and which precisions it runs natively; which GPUs, with which CUDA, which "
            "libraries, and what is missing to use them.\n\n"
            "With --model it tells of any checkpoint what it is, what of it nclip can use and what not, "
            "and which command comes next: a folder of transformers' or open_clip's, a run, a file "
            "(safetensors, .pt, .pth, .bin), or a config alone. Nothing of it is run, and nothing is "
            "written.\n\n"
            "With --check every operation is run on a device and held against the reference on "
            "the processor: at ragged and, on a GPU, at real shapes, with a training step, "
            "replayed recordings, what is said of mistakes, and NCCL among the machine's GPUs. Under "
            "mpirun every rank does it, and operations between the ranks are checked instead. "
            "It is the first thing to run on a GPU.",
        .examples = "nclip doctor\n"
                    "nclip doctor --model ViT-L-14.pt\n"
                    "nclip doctor --check --device cuda",
    };
    bool json = false, checks = false;
    const char *model = NULL;
    struct check check = {.device = "cpu"};
    const struct nc_option options[] = {
        {"--json", NULL, "print one JSON object", NC_OPTION_FLAG, &json},
        {"--model", "FILE|DIR|RUN", "what this checkpoint is, and which command comes next",
         NC_OPTION_STRING, &model},
        {"--check", NULL, "every operation against the reference", NC_OPTION_FLAG, &checks},
        {"--device", "NAME", "what --check checks (default: cpu)", NC_OPTION_STRING, &check.device,
         .choices = nc_ops_names()},
        {"--out", "FILE", "write what --check found as JSON", NC_OPTION_STRING, &check.file},
        {0},
    };
    struct nc_arguments arguments;
    int status = nc_options_parse(&help, options, argc, argv, &arguments);
    if (status != NC_OK || arguments.help_shown)
        return status;

    if (checks && model)
        status = nc_error(NC_USAGE, "doctor: give one of --model and --check");
    if (status != NC_OK || model) {
        status = status == NC_OK ? look_at_model(model, json) : status;
        nc_arguments_free(&arguments, options);
        return status;
    }
    if (checks) {
        check.json = json;
        status = check_device(&check);
        nc_arguments_free(&arguments, options);
        return status;
    }
    struct machine machine;
    struct nc_cpu_support cpu;
    struct precision precisions[2];
    struct nc_gpu_support gpus;
    look_at_machine(&machine);
    status = nc_cpu_describe(&cpu);
    if (status != NC_OK)
        goto out;
    judge_precisions(&cpu, precisions);
    nc_gpus_describe(&gpus);
    if (json) {
        status = print_json(&machine, &cpu, precisions, &gpus);
    } else {
        print_text(&machine, &cpu, precisions);
        print_gpus(&gpus);
    }

out:
    nc_arguments_free(&arguments, options);
    return status;
}

const struct nc_command nc_command_doctor = {
    "doctor", "what this machine can run; what a checkpoint is", run};
