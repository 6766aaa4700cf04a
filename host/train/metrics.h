/* A run's metrics: metrics.jsonl (one object a line) and TensorBoard event files.
 *
 * TensorBoard's files are written by tensorboard.c. Tags: "train/loss", "validation/loss", ...
 */
#ifndef NCLIP_HOST_TRAIN_METRICS_H
#define NCLIP_HOST_TRAIN_METRICS_H

#include <stddef.h>
#include <stdint.h>

struct nc_metric {
    const char *name; /* "loss" */
    double value;
};

struct nc_metrics;
/* Opens (appends to) RUN/metrics.jsonl and starts a new RUN/events.out.tfevents.* file.
 * When resuming, lines with "step" above `resume_step` are cut away first (by rename), and so
 * is a torn end: the file reads as if the run had never stopped, and TensorBoard forgets those
 * steps as well. 0 starts afresh: an older metrics.jsonl is renamed, which is said. A damaged line
 * with good ones behind it is NC_BAD_INPUT, and so is a file that ends before `resume_step`. */
int nc_metrics_open(const char *run_folder, uint64_t resume_step, struct nc_metrics **metrics);
/* One line {"step": step, name: value, ...}; scalars "<group>/<name>" in TensorBoard, where
 * "<group>_" at the start of a name is left out ("validation_loss": "validation/loss"). Names
 * are letters, digits and "_". Whole numbers are written without a fraction; others with enough
 * digits to be read back exactly; what is not finite as null. Shows in the files within a second
 * or at the next write. NC_FAILED on a full disk. */
int nc_metrics_write(struct nc_metrics *metrics, const char *group, uint64_t step,
                     const struct nc_metric *values, size_t count);
/* Everything written so far is safe on disk; to be called before a checkpoint appears. */
int nc_metrics_flush(struct nc_metrics *metrics);
void nc_metrics_close(
    struct nc_metrics *metrics); /* NULL is allowed; flush first to learn of errors */

#endif
