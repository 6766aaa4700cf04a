/* Writes TensorBoard event files by hand: the few protocol buffer fields need no library. */
#include "tensorboard.h"

#include "nclip/support/crc32c.h"
#include "nclip/support/error.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* ---- Protocol buffers, as far as needed ------------------------------------------------- */

struct bytes {
    uint8_t *data;
    size_t size, capacity;
    bool failed; /* no memory; stays so */
};

static void put(struct bytes *bytes, const void *data, size_t size)
{
    if (bytes->failed)
        return;
    if (bytes->capacity - bytes->size < size) {
        size_t capacity = bytes->capacity * 2 + size + 64;
        uint8_t *larger = realloc(bytes->data, capacity);
        if (!larger) {
            bytes->failed = true;
            return;
        }
        bytes->data = larger;
        bytes->capacity = capacity;
    }
    memcpy(bytes->data + bytes->size, data, size);
    bytes->size += size;
}

static void put_little_endian(struct bytes *bytes, uint64_t value, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        uint8_t byte = (uint8_t)(value >> (8 * i));
        put(bytes, &byte, 1);
    }
}

static void put_varint(struct bytes *bytes, uint64_t value)
{
    do {
        uint8_t byte = (uint8_t)((value & 0x7f) | (value > 0x7f ? 0x80 : 0));
        put(bytes, &byte, 1);
        value >>= 7;
    } while (value);
}

enum wire { WIRE_VARINT = 0, WIRE_64 = 1, WIRE_BYTES = 2, WIRE_32 = 5 };

static void put_key(struct bytes *bytes, unsigned field, enum wire wire)
{
    put_varint(bytes, field << 3 | wire);
}

static void put_double(struct bytes *bytes, unsigned field, double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    put_key(bytes, field, WIRE_64);
    put_little_endian(bytes, bits, 8);
}

static void put_float(struct bytes *bytes, unsigned field, float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    put_key(bytes, field, WIRE_32);
    put_little_endian(bytes, bits, 4);
}

static void put_block(struct bytes *bytes, unsigned field, const void *data, size_t size)
{
    put_key(bytes, field, WIRE_BYTES);
    put_varint(bytes, size);
    put(bytes, data, size);
}

/* ---- Events ----------------------------------------------------------------------------- */

static void put_event_start(struct bytes *event, double wall_time, uint64_t step)
{
    put_double(event, 1, wall_time);
    if (step) { /* zero is what a missing field means */
        put_key(event, 2, WIRE_VARINT);
        put_varint(event, step);
    }
}

static void put_value(struct bytes *summary, const char *group, const struct nc_metric *metric)
{
    size_t group_length = strlen(group);
    const char *name = metric->name;
    if (strncmp(name, group, group_length) == 0 && name[group_length] == '_')
        name += group_length + 1;

    struct bytes value = {0}, tag = {0};
    put(&tag, group, group_length);
    put(&tag, "/", 1);
    put(&tag, name, strlen(name));
    if (!tag.failed)
        put_block(&value, 1, tag.data, tag.size);
    put_float(&value, 2, (float)metric->value);
    if (!value.failed)
        put_block(summary, 1, value.data, value.size);
    summary->failed |= tag.failed || value.failed;
    free(tag.data);
    free(value.data);
}

/* TFRecord masks its checksums, since a CRC over data that holds its own CRC is weak. */
static uint32_t masked_crc(const void *data, size_t size)
{
    uint32_t crc = nc_crc32c(data, size);
    return (crc >> 15 | crc << 17) + 0xa282ead8u;
}

/* Frames the event and frees it. */
static uint8_t *frame(struct bytes *event, size_t *size)
{
    struct bytes record = {.failed = event->failed};
    if (!event->failed) {
        put_little_endian(&record, event->size, 8);
        if (!record.failed)
            put_little_endian(&record, masked_crc(record.data, 8), 4);
        put(&record, event->data, event->size);
        put_little_endian(&record, masked_crc(event->data, event->size), 4);
    }
    free(event->data);
    if (record.failed) {
        free(record.data);
        return NULL;
    }
    *size = record.size;
    return record.data;
}

uint8_t *nc_events_record(double wall_time, const char *group, uint64_t step,
                          const struct nc_metric *values, size_t count, size_t *size)
{
    struct bytes event = {0}, summary = {0};
    for (size_t i = 0; i < count; i++)
        put_value(&summary, group, &values[i]);
    put_event_start(&event, wall_time, step);
    if (!summary.failed)
        put_block(&event, 5, summary.data, summary.size);
    event.failed |= summary.failed;
    free(summary.data);
    return frame(&event, size);
}

/* ---- The file ---------------------------------------------------------------------------- */

struct nc_events {
    FILE *file;
    char *path;
};

static double wall_time_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* Takes the record; NULL means that there was no memory for it. */
static int append(struct nc_events *events, uint8_t *record, size_t size)
{
    if (!record)
        return nc_error(NC_FAILED, "%s: no memory", events->path);
    errno = 0;
    size_t written = fwrite(record, 1, size, events->file);
    free(record);
    if (written != size)
        return nc_error(NC_FAILED, "%s: cannot write: %s", events->path,
                        strerror(errno ? errno : EIO));
    return NC_OK;
}

static int append_head(struct nc_events *events, uint64_t first_step)
{
    static const char version[] = "brain.Event:2";
    static const uint8_t session_start[] = {1 << 3 | WIRE_VARINT, 1}; /* SessionLog.status: START */
    struct bytes event = {0};
    size_t size = 0;
    put_event_start(&event, wall_time_now(), 0);
    put_block(&event, 3, version, sizeof version - 1);
    uint8_t *record = frame(&event, &size);
    int status = append(events, record, size);
    if (status != NC_OK)
        return status;

    event = (struct bytes){0};
    put_event_start(&event, wall_time_now(), first_step);
    put_block(&event, 7, session_start, sizeof session_start);
    record = frame(&event, &size);
    return append(events, record, size);
}

/* TensorBoard reads the files of a folder in the order of their names: behind those that are there,
 * though the clock was set back since. */
static int64_t name_seconds(const char *folder, int64_t now)
{
    DIR *directory = opendir(folder);
    struct dirent *entry;
    while (directory && (entry = readdir(directory))) {
        long long seconds;
        if (sscanf(entry->d_name, "events.out.tfevents.%lld.", &seconds) == 1 && seconds >= now &&
            seconds < INT64_MAX)
            now = seconds + 1;
    }
    if (directory)
        closedir(directory);
    return now;
}

int nc_events_create(const char *folder, uint64_t first_step, struct nc_events **out)
{
    *out = NULL;
    struct nc_events *events = calloc(1, sizeof *events);
    if (!events)
        return nc_error(NC_FAILED, "%s: no memory", folder);
    struct timespec now;
    char host[64] = "";
    clock_gettime(CLOCK_REALTIME, &now);
    gethostname(host, sizeof host - 1);
    for (char *at = host; *at; at++)
        *at = *at == '/' ? '_' : *at;
    int descriptor = -1;
    if (asprintf(&events->path, "%s/events.out.tfevents.%010lld.%09ld.%s.%ld", folder,
                 (long long)name_seconds(folder, now.tv_sec), now.tv_nsec, *host ? host : "host", (long)getpid()) < 0)
        events->path = NULL;
    else
        descriptor = open(events->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    events->file = descriptor < 0 ? NULL : fdopen(descriptor, "wb");
    int status = NC_OK;
    if (!events->path)
        status = nc_error(NC_FAILED, "%s: no memory", folder);
    else if (!events->file)
        status = nc_error(NC_FAILED, "%s: cannot write: %s", events->path, strerror(errno));
    if (status == NC_OK)
        status = append_head(events, first_step);
    if (status == NC_OK)
        status = nc_events_flush(events);
    if (status != NC_OK) {
        if (descriptor >= 0 && !events->file)
            close(descriptor);
        nc_events_close(events);
        return status;
    }
    *out = events;
    return NC_OK;
}

int nc_events_write(struct nc_events *events, const char *group, uint64_t step,
                    const struct nc_metric *values, size_t count)
{
    size_t size = 0;
    uint8_t *record = nc_events_record(wall_time_now(), group, step, values, count, &size);
    return append(events, record, size);
}

int nc_events_flush(struct nc_events *events)
{
    if (fflush(events->file) != 0)
        return nc_error(NC_FAILED, "%s: cannot write: %s", events->path, strerror(errno));
    return NC_OK;
}

void nc_events_close(struct nc_events *events)
{
    if (!events)
        return;
    if (events->file)
        fclose(events->file);
    free(events->path);
    free(events);
}
