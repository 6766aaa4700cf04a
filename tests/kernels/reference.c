/* The operations in double precision. */
#include "reference.h"

#include "kernels.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

void reference_linear(size_t rows, size_t in, size_t out, const double *x, const double *weight,
                      const double *bias, double *y)
{
    for (size_t r = 0; r < rows; r++)
        for (size_t o = 0; o < out; o++) {
            double sum = bias ? bias[o] : 0;
            for (size_t i = 0; i < in; i++)
                sum += x[r * in + i] * weight[o * in + i];
            y[r * out + o] = sum;
        }
}

/* Probabilities of query i of one head; returns the log-sum-exp. */
static double probabilities(size_t i, size_t keys, size_t stride, size_t size, const double *q,
                            const double *k, double *p)
{
    double most = -INFINITY, sum = 0;
    for (size_t j = 0; j < keys; j++) {
        double s = 0;
        for (size_t d = 0; d < size; d++)
            s += q[i * stride + d] * k[j * stride + d];
        p[j] = s / sqrt((double)size);
        most = fmax(most, p[j]);
    }
    for (size_t j = 0; j < keys; j++)
        sum += exp(p[j] - most);
    for (size_t j = 0; j < keys; j++)
        p[j] = exp(p[j] - most) / sum;
    return most + log(sum);
}

void reference_attention(size_t tokens, size_t heads, size_t size, bool causal, const double *q,
                         const double *k, const double *v, double *out, double *lse)
{
    size_t stride = heads * size;
    double *p = malloc(tokens * sizeof *p);
    for (size_t h = 0; h < heads; h++)
        for (size_t i = 0; i < tokens; i++) {
            size_t keys = causal ? i + 1 : tokens;
            double l = probabilities(i, keys, stride, size, q + h * size, k + h * size, p);
            if (lse)
                lse[i * heads + h] = l;
            for (size_t d = 0; d < size; d++) {
                double sum = 0;
                for (size_t j = 0; j < keys; j++)
                    sum += p[j] * v[j * stride + h * size + d];
                out[i * stride + h * size + d] = sum;
            }
        }
    free(p);
}

void reference_attention_backward(size_t tokens, size_t heads, size_t size, bool causal,
                                  const double *q, const double *k, const double *v,
                                  const double *dout, double *dq, double *dk, double *dv)
{
    size_t stride = heads * size;
    double *p = malloc(tokens * sizeof *p), *dp = malloc(tokens * sizeof *dp);
    for (size_t h = 0; h < heads; h++)
        for (size_t i = 0; i < tokens; i++) {
            size_t at = i * stride + h * size, keys = causal ? i + 1 : tokens;
            double delta = 0;
            probabilities(i, keys, stride, size, q + h * size, k + h * size, p);
            for (size_t j = 0; j < keys; j++) {
                dp[j] = 0;
                for (size_t d = 0; d < size; d++)
                    dp[j] += dout[at + d] * v[j * stride + h * size + d];
                delta += p[j] * dp[j];
            }
            for (size_t j = 0; j < keys; j++) {
                double ds = p[j] * (dp[j] - delta) / sqrt((double)size);
                size_t key = j * stride + h * size;
                for (size_t d = 0; d < size; d++) {
                    dq[at + d] += ds * k[key + d];
                    dk[key + d] += ds * q[at + d];
                    dv[key + d] += p[j] * dout[at + d];
                }
            }
        }
    free(p);
    free(dp);
}

static void statistics(const double *x, size_t width, double epsilon, double *mean, double *rstd)
{
    double sum = 0, square = 0;
    for (size_t k = 0; k < width; k++)
        sum += x[k];
    *mean = sum / (double)width;
    for (size_t k = 0; k < width; k++)
        square += (x[k] - *mean) * (x[k] - *mean);
    *rstd = 1 / sqrt(square / (double)width + epsilon);
}

void reference_layernorm(size_t rows, size_t width, const double *x, const double *weight,
                         const double *bias, double epsilon, double *y)
{
    for (size_t r = 0; r < rows; r++) {
        double mean, rstd;
        statistics(x + r * width, width, epsilon, &mean, &rstd);
        for (size_t k = 0; k < width; k++)
            y[r * width + k] = (x[r * width + k] - mean) * rstd * weight[k] + bias[k];
    }
}

void reference_layernorm_backward(size_t rows, size_t width, const double *x, const double *weight,
                                  double epsilon, const double *dy, double *dx, double *dweight,
                                  double *dbias)
{
    for (size_t r = 0; r < rows; r++) {
        const double *row = x + r * width, *dyr = dy + r * width;
        double mean, rstd, g_mean = 0, gx_mean = 0;
        statistics(row, width, epsilon, &mean, &rstd);
        for (size_t k = 0; k < width; k++) {
            double xhat = (row[k] - mean) * rstd;
            dweight[k] += dyr[k] * xhat;
            dbias[k] += dyr[k];
            g_mean += dyr[k] * weight[k] / (double)width;
            gx_mean += dyr[k] * weight[k] * xhat / (double)width;
        }
        for (size_t k = 0; k < width; k++)
            dx[r * width + k] +=
                rstd * (dyr[k] * weight[k] - g_mean - (row[k] - mean) * rstd * gx_mean);
    }
}

double reference_activation(enum nc_activation activation, double x)
{
    if (activation == NC_GELU_TANH)
        return x / (1 + exp(-sqrt(8 / acos(-1)) * (x + 0.044715 * x * x * x)));
    return activation == NC_QUICK_GELU ? x / (1 + exp(-1.702 * x)) : x * 0.5 * erfc(-x * sqrt(0.5));
}

double reference_activation_slope(enum nc_activation activation, double x)
{
    if (activation == NC_QUICK_GELU) {
        double s = 1 / (1 + exp(-1.702 * x));
        return s + 1.702 * x * s * (1 - s);
    }
    if (activation == NC_GELU_TANH) {
        double s = 1 / (1 + exp(-sqrt(8 / acos(-1)) * (x + 0.044715 * x * x * x)));
        return s + x * s * (1 - s) * sqrt(8 / acos(-1)) * (1 + 3 * 0.044715 * x * x);
    }
    return 0.5 * erfc(-x * sqrt(0.5)) + x * exp(-x * x / 2) / sqrt(2 * acos(-1));
}

void reference_normalize(size_t rows, size_t width, const double *x, double *y)
{
    for (size_t r = 0; r < rows; r++) {
        double square = 0;
        for (size_t k = 0; k < width; k++)
            square += x[r * width + k] * x[r * width + k];
        for (size_t k = 0; k < width; k++)
            y[r * width + k] = x[r * width + k] / sqrt(square);
    }
}

double *reference_unit_rows(uint64_t seed, size_t rows, size_t width, enum nc_type type)
{
    double *x = numbers(seed, rows * width, 1, NC_FLOAT32);
    reference_normalize(rows, width, x, x);
    for (size_t k = 0; k < rows * width; k++) {
        float single = (float)x[k];
        x[k] = type == NC_FLOAT32 ? single : nc_bfloat16_to_float(nc_bfloat16_from_float(single));
    }
    return x;
}

void reference_normalize_backward(size_t rows, size_t width, const double *x, const double *dy,
                                  double *dx)
{
    for (size_t r = 0; r < rows; r++) {
        const double *row = x + r * width, *dyr = dy + r * width;
        double square = 0, along = 0;
        for (size_t k = 0; k < width; k++) {
            square += row[k] * row[k];
            along += row[k] * dyr[k];
        }
        for (size_t k = 0; k < width; k++)
            dx[r * width + k] = (dyr[k] - row[k] * along / square) / sqrt(square);
    }
}

static double dot(const double *a, const double *b, size_t count, size_t lanes)
{
    if (lanes) {
        float part[16] = {0}, total = 0;
        for (size_t k = 0; k < count; k++)
            part[k % lanes] += (float)a[k] * (float)b[k];
        for (size_t lane = 0; lane < lanes; lane++)
            total += part[lane];
        return total;
    }
    double sum = 0;
    for (size_t k = 0; k < count; k++)
        sum += a[k] * b[k];
    return sum;
}

static double log_sum_exp(const double *s, size_t count, size_t stride, double extra_most,
                          double extra_sum)
{
    double most = extra_most, sum = 0;
    for (size_t i = 0; i < count; i++)
        most = fmax(most, s[i * stride]);
    for (size_t i = 0; i < count; i++)
        sum += exp(s[i * stride] - most);
    if (extra_sum > 0)
        sum += extra_sum * exp(extra_most - most);
    return most + log(sum);
}

static double weight(const double *weights, size_t i)
{
    return weights ? weights[i] : 1;
}

void reference_infonce(struct reference_infonce *r)
{
    size_t n = r->pairs, width = r->width;
    double scale = exp(r->logit_scale);
    double *s = malloc(n * n * sizeof *s), *row = malloc(n * sizeof *row);
    double *column = malloc(n * sizeof *column), *e = malloc((r->extras + 1) * sizeof *e);
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j++)
            s[i * n + j] = r->group && i != j && r->group[i] == r->group[j]
                               ? -INFINITY
                               : scale * dot(r->text + i * width, r->image + j * width, width, r->lanes);
    for (size_t x = 0; x < r->extras; x++)
        e[x] = scale * dot(r->extra + x * width, r->image + (size_t)r->extra_image[x] * width, width,
                           r->lanes);
    r->loss = 0;
    for (size_t i = 0; i < n; i++) {
        double most = -INFINITY, sum = 0;
        for (size_t x = 0; x < r->extras; x++)
            if ((size_t)r->extra_image[x] == i)
                most = fmax(most, e[x]);
        for (size_t x = 0; x < r->extras; x++)
            if ((size_t)r->extra_image[x] == i)
                sum += exp(e[x] - most);
        row[i] = log_sum_exp(s + i * n, n, 1, -INFINITY, 0);
        column[i] = log_sum_exp(s + i, n, n, most, sum);
        r->loss += (weight(r->caption_weight, i) * (row[i] - s[i * n + i]) +
                    weight(r->image_weight, i) * (column[i] - s[i * n + i])) /
                   (2 * (double)n);
    }
    if (r->dtext) {
        memset(r->dtext, 0, n * width * sizeof *r->dtext);
        r->dlogit_scale = 0;
        for (size_t i = 0; i < n; i++)
            for (size_t j = 0; j < n; j++) {
                if (s[i * n + j] == -INFINITY)
                    continue;
                double g = (weight(r->caption_weight, i) * (exp(s[i * n + j] - row[i]) - (i == j)) +
                            weight(r->image_weight, j) * (exp(s[i * n + j] - column[j]) - (i == j))) /
                           (2 * (double)n);
                for (size_t k = 0; k < width; k++)
                    r->dtext[i * width + k] += scale * g * r->image[j * width + k];
                r->dlogit_scale += g * s[i * n + j];
            }
        for (size_t x = 0; x < r->extras; x++) {
            size_t j = (size_t)r->extra_image[x];
            double g = weight(r->image_weight, j) * exp(e[x] - column[j]) / (2 * (double)n);
            for (size_t k = 0; k < width; k++)
                r->dextra[x * width + k] = scale * g * r->image[j * width + k];
            r->dlogit_scale += g * e[x];
        }
    }
    free(s);
    free(row);
    free(column);
    free(e);
}

void reference_adamw(struct reference_adamw *r)
{
    double correction1 = 1 - pow(r->beta1, (double)r->step);
    double correction2 = 1 - pow(r->beta2, (double)r->step);
    for (size_t i = 0; i < r->count; i++) {
        r->p[i] *= 1 - r->learning_rate * r->decay;
        r->m[i] = r->beta1 * r->m[i] + (1 - r->beta1) * r->g[i];
        r->v[i] = r->beta2 * r->v[i] + (1 - r->beta2) * r->g[i] * r->g[i];
        r->p[i] -= r->learning_rate * (r->m[i] / correction1) /
                   (sqrt(r->v[i] / correction2) + r->epsilon);
    }
}

double difference_error(double (*loss)(const double *x, void *context), void *context,
                        const double *x, const double *gradient, size_t count)
{
    double *moved = malloc(count * sizeof *moved), worst = 0, largest = 0;
    memcpy(moved, x, count * sizeof *moved);
    for (size_t i = 0; i < count; i++) {
        const double step = 1e-5;
        moved[i] = x[i] + step;
        double above = loss(moved, context);
        moved[i] = x[i] - step;
        double below = loss(moved, context);
        moved[i] = x[i];
        worst = fmax(worst, fabs((above - below) / (2 * step) - gradient[i]));
        largest = fmax(largest, fabs(gradient[i]));
    }
    free(moved);
    return worst / largest;
}
