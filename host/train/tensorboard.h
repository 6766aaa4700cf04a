/* TensorBoard event files: scalars only.
 *
 * A file is a sequence of TFRecords
 *     uint64 length, uint32 masked CRC-32C of it, payload, uint32 masked CRC-32C of the payload
 * (little-endian) whose payloads are Event protocol buffers (tensorflow/core/util/event.proto,
 * tensorflow/core/framework/summary.proto):
 *     Event    1 double wall_time, 2 int64 step, 3 string file_version, 5 Summary, 7 SessionLog
 *     Summary  1 repeated Value { 1 string tag, 2 float simple_value }
 */
#ifndef NCLIP_HOST_TRAIN_TENSORBOARD_H
#define NCLIP_HOST_TRAIN_TENSORBOARD_H

#include "metrics.h"

#include <stddef.h>
#include <stdint.h>

struct nc_events;

/* Starts FOLDER/events.out.tfevents.<time>.<host>.<process>. It tells TensorBoard to forget what
 * earlier files of the folder say about steps from `first_step` on. */
int nc_events_create(const char *folder, uint64_t first_step, struct nc_events **events);

/* Appends one event with a scalar "<group>/<name>" for each value; of a name that starts with
 * "<group>_" that beginning is left out: "validation/loss", not "validation/validation_loss". */
int nc_events_write(struct nc_events *events, const char *group, uint64_t step,
                    const struct nc_metric *values, size_t count);
int nc_events_flush(struct nc_events *events);
void nc_events_close(struct nc_events *events); /* NULL is allowed */

/* The record that nc_events_write() appends, in a malloc'd block; NULL without memory. */
uint8_t *nc_events_record(double wall_time, const char *group, uint64_t step,
                          const struct nc_metric *values, size_t count, size_t *size);

#endif
