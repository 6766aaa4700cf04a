/* The loss over a run's steps, drawn as SVG. */
#include "nclip/formats/json.h"
#include "nclip/support/error.h"
#include "parts.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WIDTH = 420, HEIGHT = 230, LEFT = 36, RIGHT = 18, TOP = 8, BOTTOM = 32, MOST_POINTS = 200 };

struct point {
    double step, loss;
};

struct curve {
    struct point *points;
    size_t count;
};

struct metrics {
    struct curve training, validation;
    double speed_sum; /* of captions_per_second, over the steps that tell it */
    size_t speed_count;
    double epoch; /* of the last line */
};

static int add_point(struct curve *curve, double step, double loss)
{
    if ((curve->count & (curve->count - 1)) == 0) {
        struct point *larger =
            realloc(curve->points, (curve->count ? 2 * curve->count : 1) * sizeof *larger);
        if (!larger)
            return nc_error(NC_FAILED, "no memory for the loss curve");
        curve->points = larger;
    }
    curve->points[curve->count++] = (struct point){step, loss};
    return NC_OK;
}

static int read_line(void *context, const char *where, const cJSON *line)
{
    struct metrics *metrics = context;
    double loss = NAN, validation = NAN, speed = NAN;
    const struct curve *training = &metrics->training;
    double step = training->count ? training->points[training->count - 1].step : 0;
    int status;
    if ((status = nc_json_optional_number(where, line, "step", &step)) != NC_OK ||
        (status = nc_json_optional_number(where, line, "epoch", &metrics->epoch)) != NC_OK ||
        (status = nc_json_optional_number(where, line, "loss", &loss)) != NC_OK ||
        (status = nc_json_optional_number(where, line, "validation_loss", &validation)) != NC_OK ||
        (status = nc_json_optional_number(where, line, "captions_per_second", &speed)) != NC_OK)
        return status;
    if (isfinite(loss))
        status = add_point(&metrics->training, step, loss);
    if (status == NC_OK && isfinite(validation))
        status = add_point(&metrics->validation, step, validation);
    if (isfinite(speed)) {
        metrics->speed_sum += speed;
        metrics->speed_count++;
    }
    return status;
}

/* 1, 2 or 5 times a power of ten, so that about five of them span the range. */
static double nice_distance(double range)
{
    double raw = range / 5, power = pow(10, floor(log10(raw)));
    double digit = raw / power;
    return power * (digit < 1.5 ? 1 : digit < 3.5 ? 2 : digit < 7.5 ? 5 : 10);
}

struct axes {
    double step, low, high; /* the last step; the losses */
};

static double x_of(const struct axes *axes, double step)
{
    return LEFT + (WIDTH - LEFT - RIGHT) * (axes->step > 0 ? step / axes->step : 0);
}

static double y_of(const struct axes *axes, double loss)
{
    return TOP + (HEIGHT - TOP - BOTTOM) * (axes->high - loss) / (axes->high - axes->low);
}

static void widen(struct axes *axes, const struct curve *curve)
{
    for (size_t i = 0; i < curve->count; i++) {
        axes->step = fmax(axes->step, curve->points[i].step);
        axes->low = fmin(axes->low, curve->points[i].loss);
        axes->high = fmax(axes->high, curve->points[i].loss);
    }
}

static void draw_axes(struct nc_writer *out, const struct axes *axes)
{
    double distance = nice_distance(axes->high - axes->low);
    for (double loss = ceil(axes->low / distance) * distance; loss <= axes->high; loss += distance)
        nc_writer_printf(out,
                         "<line class=\"grid\" x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\"/>"
                         "<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%.4g</text>\n",
                         LEFT, WIDTH - RIGHT, y_of(axes, loss), y_of(axes, loss), LEFT - 6,
                         y_of(axes, loss) + 4, fabs(loss) < distance / 2 ? 0 : loss);
    distance = axes->step >= 5 ? nice_distance(axes->step) : 1;
    for (double step = 0; step <= axes->step; step += distance)
        nc_writer_printf(out, "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%.0f</text>\n",
                         x_of(axes, step), HEIGHT - BOTTOM + 17, step);
    nc_writer_printf(out, "<text x=\"%d\" y=\"%d\" text-anchor=\"end\">step</text>\n",
                     WIDTH - RIGHT, HEIGHT - 3);
}

/* Neighbouring steps are averaged where there are more than the line can show. */
static void draw_training(struct nc_writer *out, const struct axes *axes, const struct curve *curve)
{
    size_t span = (curve->count + MOST_POINTS - 1) / MOST_POINTS;
    nc_writer_printf(out, "<polyline class=\"training\" points=\"");
    for (size_t first = 0; first < curve->count; first += span) {
        size_t last = first + span < curve->count ? first + span : curve->count;
        double step = 0, loss = 0;
        for (size_t i = first; i < last; i++) {
            step += curve->points[i].step;
            loss += curve->points[i].loss;
        }
        double count = (double)(last - first);
        nc_writer_printf(out, "%.1f,%.1f ", x_of(axes, step / count), y_of(axes, loss / count));
    }
    nc_writer_printf(out, "\"/>\n");
}

static void draw_validation(struct nc_writer *out, const struct axes *axes,
                            const struct curve *curve)
{
    nc_writer_printf(out, "<polyline class=\"validation\" points=\"");
    for (size_t i = 0; i < curve->count; i++)
        nc_writer_printf(out, "%.1f,%.1f ", x_of(axes, curve->points[i].step),
                         y_of(axes, curve->points[i].loss));
    nc_writer_printf(out, "\"/>\n");
    for (size_t i = 0; i < curve->count; i++)
        nc_writer_printf(out, "<circle class=\"validation\" cx=\"%.1f\" cy=\"%.1f\" r=\"4\"/>\n",
                         x_of(axes, curve->points[i].step), y_of(axes, curve->points[i].loss));
}

int report_chart(struct nc_writer *out, const char *run)
{
    struct metrics metrics = {0};
    struct axes axes = {0, INFINITY, -INFINITY};
    char *path = nc_path_join(run, "metrics.jsonl");
    int status = path ? nc_json_lines_load(path, true, read_line, &metrics) : nc_error(NC_FAILED, "%s: no memory", run);
    if (status != NC_OK)
        goto done;
    if (!metrics.training.count) {
        nc_writer_printf(out, "<p>No step was taken.</p>\n");
        goto done;
    }
    widen(&axes, &metrics.training);
    widen(&axes, &metrics.validation);
    double margin = axes.high > axes.low ? 0.04 * (axes.high - axes.low) : 0.5;
    axes.low -= margin;
    axes.high += margin;

    nc_writer_printf(out,
                     "<svg class=\"chart\" viewBox=\"0 0 %d %d\" role=\"img\" "
                     "aria-label=\"Loss over the steps of the run\">\n",
                     WIDTH, HEIGHT);
    draw_axes(out, &axes);
    draw_training(out, &axes, &metrics.training);
    draw_validation(out, &axes, &metrics.validation);
    nc_writer_printf(out, "</svg>\n<p class=\"legend\"><span class=\"training\">training</span> "
                          "<span class=\"validation\">validation</span></p>\n");

    nc_writer_printf(out, "<p>%zu steps", metrics.training.count);
    if (metrics.speed_count)
        nc_writer_printf(out, ", %.0f captions a second",
                         metrics.speed_sum / (double)metrics.speed_count);
    if (metrics.validation.count)
        nc_writer_printf(out, ". The validation loss went from %.4f to %.4f",
                         metrics.validation.points[0].loss,
                         metrics.validation.points[metrics.validation.count - 1].loss);
    nc_writer_printf(out, ".</p>\n");
done:
    free(path);
    free(metrics.training.points);
    free(metrics.validation.points);
    return status;
}
