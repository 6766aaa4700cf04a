/* The only door between the model and the arithmetic: a table of operations.
 *
 * Each backend ("cpu", "cuda", "cuda-emulated") fills one struct nc_ops; the same
 * model code drives all of them and the same tests run on all of them.
 *
 * Conventions
 *   Layout      Row-major and dense. Counts are in elements. A "row" is one token (or one caption, or one picture).
 *   T           The run's element type (NC_FLOAT32 or NC_BFLOAT16), given as `type`.
 *               Products accumulate in fp32; statistics, softmax, loss, gradients of
 *               parameters, master weights and the residual stream are fp32 always.
 *   = and +=    "=": overwritten. "+=": added to what is there.
 *   Alignment   Every buffer starts at a multiple of 64 bytes; rows need not.
 *   Aliasing    Outputs overlap no input unless said.
 *   Order       Operations take effect in call order. They may return before they are
 *               done (a stream); `synchronize` and `download` wait.
 *   Threads     Only the thread that opened a backend uses it: error messages, and which GPU
 *               is current, belong to a thread.
 *   Bits        The same inputs on the same machine with as many threads give the same
 *               bits: no operation depends on the order in which threads arrive.
 *   Errors      A shape that a backend cannot do is refused before any output is
 *               touched, with a message that names the operation and the size. An index
 *               outside its table is skipped and is an error: of the call, or, where the
 *               host cannot read the indices, once of the next `synchronize`, `download`
 *               or `host_wait`.
 *   Memory      No operation allocates. Those that need scratch say how much.
 */
#ifndef NCLIP_OPS_H
#define NCLIP_OPS_H

#include "nclip/support/types.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum nc_activation {
    NC_QUICK_GELU, /* x * sigmoid(1.702 x): OpenAI's checkpoints */
    NC_GELU,       /* x * Phi(x), with erf */
    NC_GELU_TANH,  /* x * sigmoid(sqrt(8 / pi) (x + 0.044715 x^3)): GELU's approximation, SigLIP's */
    NC_ACTIVATIONS,
};

/* ---- Linear layers --------------------------------------------------------------
 * weight is [out, in] as in PyTorch. Never hand-written: oneDNN or cuBLASLt. */

/* y[rows, out] = x[rows, in] weight^T + bias + residual, or act(x weight^T + bias) */
struct nc_linear {
    enum nc_type type; /* T: of x and weight */
    size_t rows, in, out;
    const void *x;      /* [rows, in] T */
    const void *weight; /* [out, in] T */
    const float *bias;  /* [out] or NULL */
    const nc_bfloat16 *bias_bf16; /* the same, rounded, where there is one: for a y in bf16; or NULL */
    bool activate;      /* apply `activation`; not together with a residual. A forward pass */
    enum nc_activation activation; /* without backward saves a trip through memory */
    const float *residual; /* [rows, out] fp32 dense or NULL; only with y_type fp32. May be y itself */
    void *y;             /* = [rows, out] y_type */
    enum nc_type y_type; /* T or NC_FLOAT32 */
};

/* dx[rows, in] = dy[rows, out] weight */
struct nc_linear_backward_input {
    enum nc_type type;
    size_t rows, in, out;
    const void *dy;     /* [rows, out] T */
    const void *weight; /* [out, in] T */
    void *dx;           /* = [rows, in] T */
};

/* dweight[out, in] = dy^T x ;  dbias[out] = column sums of dy; both += when `accumulate` */
struct nc_linear_backward_weight {
    enum nc_type type;
    size_t rows, in, out;
    const void *x;  /* [rows, in] T */
    const void *dy; /* [rows, out] T */
    bool accumulate;
    float *dweight; /* [out, in] */
    float *dbias;   /* [out] or NULL */
};

/* ---- Attention -------------------------------------------------------------------
 * qkv[row] holds query, key and value, each [heads, head_size]. Softmax scale is
 * 1 / sqrt(head_size). Source: Vaswani et al. 2017; O(rows) extra memory and the
 * log-sum-exp kept for backward as in FlashAttention-2 (Dao 2023), algorithm 1 and 2. */

/* Self-attention over a packed batch (packing.h). Causal: the query at a caption's own row
 * attends to the caption's path up to and with that row. `full`: to all of the path; no rows
 * are shared then (repeated is 0), for a row's output would depend on whose caption it is in.
 * Rows from row_start[captions] on lie on no path (padding): their out and dqkv are 0.
 * `last_only`: just one query per caption, at its last row, is computed; out, lse and
 * dout then have `captions` rows. The last block of a text tower needs no more. */
struct nc_attention {
    enum nc_type type;
    size_t rows, captions, longest, heads, head_size;
    const int32_t *row_start;  /* [captions + 1] */
    const int32_t *path_start; /* [captions + 1] */
    const int32_t *path;       /* [path_start[captions]] */
    size_t repeated; /* tokens on rows that an earlier caption brought, path_start[captions] -
                        row_start[captions], or more: it sizes scratch. 0: no row is shared */
    bool last_only;
    bool full;
    bool indexed; /* backward: `scratch` is as a call for the same batch left it, whose last_only was
                     this one's: what it found out about shared rows is not found out again */
    const void *qkv; /* [rows, 3, heads, head_size] T */
    void *out;       /* forward = ; backward reads: [rows or captions, heads * head_size] T */
    float *lse;      /* forward = ; backward reads: [rows or captions, heads] */
    /* backward */
    const void *dout; /* [rows or captions, heads * head_size] T */
    void *dqkv;       /* = [rows, 3, heads, head_size] T: every row is written */
    void *scratch;    /* attention_scratch() bytes; NULL when 0 */
};

/* Full (not causal) attention over pictures of `tokens` rows each; forward only. */
struct nc_attention_full {
    enum nc_type type;
    size_t pictures, tokens, heads, head_size;
    const void *qkv; /* [pictures * tokens, 3, heads, head_size] T */
    void *out;       /* = [pictures * tokens, heads * head_size] T */
};

/* ---- Layer normalisation ---------------------------------------------------------
 * y = (x - mean) * rstd * weight + bias over the last axis; biased variance.
 * Source: Ba, Kiros, Hinton 2016. Two passes or Welford, in fp32. */

struct nc_layernorm {
    size_t rows, width;
    const float *x;        /* [rows, width] fp32, the residual stream */
    const float *residual; /* [rows, width] or NULL: x + residual is normalised ... */
    float *sum;            /* = [rows, width] ... and written here; may be x or residual */
    const float *weight, *bias; /* [width] */
    float epsilon;
    enum nc_type y_type;
    void *y;            /* = [rows, width] y_type; may be x in fp32 */
    float *mean, *rstd; /* = [rows] each, or both NULL when there is no backward pass */
};

struct nc_layernorm_backward {
    size_t rows, width;
    const float *x; /* what was normalised: [rows, width] */
    const float *mean, *rstd, *weight;
    enum nc_type dy_type;
    const void *dy; /* [rows, width] dy_type */
    float *dx;      /* [rows, width]: += when `accumulate`, else = */
    bool accumulate; /* true: dx holds the gradient that flows past the norm (the residual) */
    void *dx_copy;  /* = dx as bf16 [rows, width], for the next product; or NULL */
    float *dweight, *dbias; /* += [width] each, or both NULL: a frozen norm */
    bool overwrite; /* true: dweight and dbias are =; also where there are no rows */
    void *scratch;  /* layernorm_scratch() bytes */
};

/* ---- Activation ------------------------------------------------------------------ */

/* y = act(x). May be in place. */
struct nc_activation_forward {
    enum nc_activation activation;
    enum nc_type type;
    size_t rows, width;
    const void *x;
    void *y; /* = */
};

/* dx = dy * act'(x). dx may be dy. `y`, where given, receives act(x) once more: the
 * product before needs it for its weight's gradient, and keeping it would cost memory. */
struct nc_activation_backward {
    enum nc_activation activation;
    enum nc_type type;
    size_t rows, width;
    const void *x, *dy;
    void *dx; /* = */
    void *y;  /* = act(x), or NULL; may be x */
};

/* ---- Embedding ------------------------------------------------------------------- */

/* x[row] = token_table[token[row]] + position_table[position[row]] */
struct nc_embedding {
    size_t rows, width, vocabulary, context;
    const int32_t *token, *position; /* [rows]; inside the tables */
    const float *token_table;        /* [vocabulary, width] */
    const float *position_table;     /* [context, width] */
    float *x;                        /* = [rows, width] */
};

/* Scatter-add, for each entry of a table in an order that is its rows' alone: deterministic. */
struct nc_embedding_backward {
    size_t rows, width, vocabulary, context;
    const int32_t *token, *position;
    const float *dx;        /* [rows, width] */
    float *dtoken_table;    /* += [vocabulary, width] or NULL */
    float *dposition_table; /* += [context, width] or NULL */
    void *scratch;          /* embedding_scratch() bytes */
};

/* ---- Rows ------------------------------------------------------------------------ */

/* y[i] = x[row[i]] (fp32); rows may repeat. Backward: dx[row[i]] += dy[i], in order of i. */
struct nc_gather {
    size_t count, width, rows; /* row[i] < rows */
    const int32_t *row;        /* [count] */
    const float *x;            /* [rows, width] */
    float *y;                  /* = [count, width] */
};
struct nc_scatter {
    size_t count, width, rows;
    const int32_t *row;
    const float *dy; /* [count, width] */
    float *dx;       /* += [rows, width] */
};

/* y = x / |x| by row (fp32); keeps 1 / |x|. Backward: dx = (dy - y (y . dy)) / |x|. */
struct nc_normalize {
    size_t rows, width;
    const float *x;
    float *y;            /* = ; may be x */
    float *inverse_norm; /* = [rows], or NULL */
};
struct nc_normalize_backward {
    size_t rows, width;
    const float *y, *inverse_norm, *dy;
    enum nc_type dx_type;
    void *dx; /* = [rows, width] dx_type; fp32 may be dy */
};

/* ---- Symmetric InfoNCE -----------------------------------------------------------
 * Radford et al. 2021, figure 3, over the global batch, without its B x B matrix.
 *
 *     s(r, c) = exp(logit_scale) * text[r] . image[c]
 *     loss = 1/(2N) sum_r (row_lse[r] - s(r, r)) + 1/(2N) sum_c (column_lse[c] - s(c, c))
 *
 * Caption r of the call is number first_caption + r of the global batch, picture c is
 * first_image + c; the pair is positive where the numbers agree. A block of captions
 * against a block of pictures is one call, and calls add up: running log-sum-exps are
 * updated in forward, gradients in backward. One rank makes one call of each.
 *
 * A log-sum-exp is held in two parts, lse = max + log, the largest score and the logarithm
 * of the sum relative to it: a trained model's loss is small against its scores, and their
 * sum would round away what the gradient is made of.
 *
 * Masked pairs: with groups given (an id per picture), captions and pictures of one
 * group are no negatives of each other; their positive stays.
 *
 * Weights: a caption's term counts caption_weight[r] times, a picture's image_weight[c]
 * times; NULL is 1 for all. With weight 0 a row still is a negative in others' sums. CoN-CLIP's
 * three cross-entropies are one call over captions and denials against pictures and
 * distractors, in which the denials' rows count nothing.
 *
 * Several true captions: where pictures have more than one in their columns, or theirs is in
 * another call, image_positive[c] says how much of picture c's term takes its pair in this call for
 * its target: 1, or 0 where another caption is it (a share where several are). NULL is 1 for all. The
 * captions' terms do not change.
 *
 * Contradictions: `extra[e]` is a caption that is false for picture `extra_image[e]` (an
 * index into this call's pictures). It stands in the column of that picture alone, as one
 * more negative. */
struct nc_infonce {
    enum nc_type type; /* of text, image and extra */
    size_t captions, images, width;
    size_t first_caption, first_image;
    size_t total;       /* N: pairs of the global batch */
    const void *text;   /* [captions, width] T, normalised */
    const void *image;  /* [images, width] T, normalised */
    const float *logit_scale; /* one number: the logarithm */
    const int32_t *caption_group, *image_group; /* [captions], [images], or both NULL */
    const float *caption_weight, *image_weight; /* [captions], [images]; each may be NULL */
    const float *image_positive; /* [images]; or NULL */
    size_t extras;
    const void *extra;          /* [extras, width] T, normalised; or NULL */
    const int32_t *extra_image; /* [extras] */
    /* forward: running, all start at -INFINITY; backward reads */
    float *row_max, *row_log;       /* [captions] */
    float *column_max, *column_log; /* [images] */
    float *positive;   /* forward = s(r, r) [captions], where the pair is in the call */
    /* backward */
    float *dtext;        /* += [captions, width] */
    float *dextra;       /* += [extras, width] */
    float *dlogit_scale; /* += one number */
    void *scratch;       /* infonce_scratch() bytes */
};

/* loss = as above, from finished sums of `pairs` captions and their own pictures. */
struct nc_infonce_loss {
    size_t pairs, total;
    const float *row_max, *row_log, *column_max, *column_log, *positive; /* [pairs] each */
    const float *caption_weight, *image_weight; /* [pairs]; each may be NULL */
    const float *image_positive; /* [pairs]; or NULL */
    float *loss; /* += one number: the pairs' share */
};

/* ---- The sigmoid loss -------------------------------------------------------------
 * Zhai et al. 2023 (SigLIP), algorithm 1, over the global batch, without its B x B matrix. Each
 * pair is a question of its own, so that nothing runs from block to block:
 *
 *     x(r, c) = exp(logit_scale) * text[r] . image[c] + logit_bias
 *     loss = 1/N sum_{r, c} u(r, c) log(1 + exp(-z x(r, c))),   u = caption_weight[r] image_weight[c]
 *     g(r, c) = -z u / (N (1 + exp(z x))),   z = 1 where the numbers agree, else -1
 *     dtext[r] += exp(logit_scale) sum_c g(r, c) image[c]
 *     dlogit_scale += sum g (x - logit_bias),   dlogit_bias += sum g
 *
 * Captions, pictures, their numbers, groups and contradictions are as InfoNCE's: pairs of one
 * group are left out, their positive aside, and a contradiction is one more negative of its
 * picture, whose weight it has. A block of captions against a block of pictures is one call, and
 * calls add up. */
struct nc_sigmoid {
    enum nc_type type; /* of text, image and extra */
    size_t captions, images, width;
    size_t first_caption, first_image;
    size_t total;       /* N: captions of the global batch */
    const void *text;   /* [captions, width] T, normalised */
    const void *image;  /* [images, width] T, normalised */
    const float *logit_scale, *logit_bias; /* one number each; the scale is the logarithm */
    const int32_t *caption_group, *image_group; /* [captions], [images], or both NULL */
    const float *caption_weight, *image_weight; /* [captions], [images]; each may be NULL: 1 */
    size_t extras;
    const void *extra;          /* [extras, width] T, normalised; or NULL */
    const int32_t *extra_image; /* [extras] */
    float *loss;  /* += one number: the call's share; or NULL */
    float *dtext; /* += [captions, width]; NULL: no gradients */
    float *dextra;                      /* += [extras, width] */
    float *dlogit_scale, *dlogit_bias;  /* += one number each */
    void *scratch; /* sigmoid_scratch() bytes */
};

/* ---- Terms over a picture's own texts ---------------------------------------------
 * What is between a picture v, its caption t, its contradictions e (false of it) and what another
 * model made of its caption, b (all normalised); no other picture has part in it. With
 * S = exp(logit_scale), C = *count and the sums over the pictures of the call:
 *
 *     choice / C   sum -log(exp(S t.v) / (exp(S t.v) + sum_e exp(S e.v)))
 *     picture / C  sum_e max(0, picture_low - (t.v - e.v)) + max(0, (t.v - e.v) - picture_high)
 *     text / C     sum_e max(0, text_low - (t.v - e.t)) + max(0, (t.v - e.t) - text_high)
 *     apart / C    sum_e max(0, e.t + apart_margin)
 *     alike / C    sum_e 1 - cos(P t, P e)
 *     unlike / C   sum_e max(0, cos(P t, P e))
 *     keep / N     sum 1 - t.b
 *
 * choice: NegBench's multiple choice (Alhamoud et al. 2025), Omni-NegCLIP's caption against its
 * negation (arXiv 2603.29258). picture, text: CLIP-bnl's two bands (Wang et al. 2022, nT2VR).
 * apart: Omni-NegCLIP's margin between texts. keep: distance to the features of a model that is
 * not trained. alike, unlike: SemCLIP's paraphrase and negation (arXiv 2511.16527), P x being the
 * products of x with the two rows of `basis`; norms of P x count as 1e-6 at least. The gradient, where
 * w_e is the probability that the choice gives to e, z_e = S (e.v - t.v), and [x] is 1 where its
 * maximum is above 0, else 0:
 *
 *     d t.v     choice / C (-S sum_e w_e)  d e.v  choice / C S w_e
 *     d scale   choice / C sum_e w_e z_e
 *     d t.v     picture / C ([high] - [low]),  d e.v the opposite; with e.t in its place for text
 *     d e.t     apart / C [e.t + apart_margin]
 *     dt = d t.v v + sum_e d e.t e - keep / N b,   de = d e.v v + d e.t t
 *     dt += P^T (q - cos p) / |P t|,  de += P^T (p - cos q) / |P e|,  p and q being P t and P e
 *           normalised, times unlike / C [cos] - alike / C
 *
 * A term with weight 0 adds nothing and its inputs are not read. */
struct nc_own_weights {
    float choice, picture, text, apart, keep, alike, unlike;
    float picture_low, picture_high, text_low, text_high, apart_margin;
};
struct nc_own_terms {
    size_t pairs, extras, width;
    size_t total; /* N: captions of the global batch */
    struct nc_own_weights weights;
    const float *count;       /* C, one number: what the terms with contradictions are divided by */
    const float *text;        /* [pairs, width] normalised, as all of these */
    const float *image;       /* [pairs, width] */
    const float *extra;       /* [extras, width]; or NULL */
    const float *base;        /* [pairs, width]; NULL without keep */
    const float *basis;       /* [2, width]; NULL without alike and unlike */
    const int32_t *extra_image; /* [extras] pictures of the call, ascending */
    const float *logit_scale; /* one number: the logarithm */
    float *loss;  /* += one number: the pictures' share; or NULL */
    float *dtext; /* += [pairs, width]; NULL: no gradients */
    float *dextra;       /* += [extras, width] */
    float *dlogit_scale; /* += one number */
    void *scratch;       /* own_terms_scratch() bytes */
};

/* ---- Optimizer -------------------------------------------------------------------
 * AdamW (Loshchilov, Hutter 2019) as in torch.optim.AdamW, over a contiguous range. */
struct nc_adamw {
    size_t count;
    float *parameter; /* += [count] fp32 master */
    const float *gradient;
    float *first, *second; /* moments, [count] each */
    nc_bfloat16 *shadow;   /* = parameter as bf16, or NULL */
    double beta1, beta2, epsilon, weight_decay; /* 1 - beta2 in double, as there */
    const struct nc_adamw_pace *pace; /* in the backend's memory */
    const float *gradient_factor; /* one number that the gradient is multiplied by (clipping), or
                                     NULL for 1; where it is not finite nothing is changed */
    float limit; /* parameters are clamped to at most this afterwards; 0: no limit */
};

/* RMSprop (Tieleman, Hinton 2012, lecture 6.5) as in torch.optim.RMSprop with its defaults,
 * neither centered nor with momentum: with the gradient g = factor gradient + weight_decay parameter
 *
 *     second = alpha second + (1 - alpha) g g
 *     parameter -= learning_rate g / (sqrt(second) + epsilon) */
struct nc_rmsprop {
    size_t count;
    float *parameter; /* += [count] fp32 master */
    const float *gradient;
    float *second;       /* += [count] the mean of squares */
    nc_bfloat16 *shadow; /* = parameter as bf16, or NULL */
    double alpha, epsilon, weight_decay;
    const double *learning_rate;  /* in the backend's memory */
    const float *gradient_factor; /* as nc_adamw's, and so is the limit */
    float limit;
};

/* Stochastic gradient descent as in torch.optim.SGD, its momentum neither dampened nor
 * Nesterov's: with g as above
 *
 *     first = momentum first + g      (without momentum: first = g, and is not kept)
 *     parameter -= learning_rate first */
struct nc_sgd {
    size_t count;
    float *parameter; /* += [count] fp32 master */
    const float *gradient;
    float *first;        /* += [count] the momentum's buffer, 0 before the first step; or NULL */
    nc_bfloat16 *shadow; /* = parameter as bf16, or NULL */
    double momentum, weight_decay;
    const double *learning_rate;  /* in the backend's memory */
    const float *gradient_factor; /* as nc_adamw's, and so is the limit */
    float limit;
};

/* What changes from step to step. The backend reads it from its own memory, so that a recorded
 * step can be replayed and the host need not be waited for. */
struct nc_adamw_pace {
    double learning_rate;
    double correction1, correction2; /* 1 - beta1^step, 1 - beta2^step; step counts from 1 */
};

/* What the gradient is multiplied by so that its norm is at most `limit` (0: no limit): 1, or
 * limit / norm. NaN where the norm is not finite, and where *factor was NaN before: after a step
 * that went wrong no other changes anything until *factor is written anew. */
struct nc_clipping {
    const double *squared_norm;
    double limit;
    float *factor; /* = */
};

/* ---- Queues and recordings ---------------------------------------------------------
 * Operations run in the compute queue, in call order. Copies of page-locked host memory can
 * also go into the copy queue, which runs beside it. A mark is a point in a queue that the
 * other queue, or the host, can wait for; setting it again moves it, and one that was never
 * set is not waited for. A backend without queues does everything at once; its marks only
 * keep the time. */
enum nc_queue { NC_COMPUTE, NC_COPY };
enum { NC_MARKS = 16 };

/* Calls that are made again and again with the same arguments can be recorded: the model
 * makes them between record_begin and record_end, under a key that stands for all of their
 * arguments, or leaves them and record_end out where record_begin has replayed them.
 *
 * Addresses are arguments, too. A caller puts the address of one of its own buffers into its keys,
 * so that it never replays another caller's calls. `release` drops every recording of the backend,
 * so that no recording outlives the buffers that it reads and writes. */
enum nc_recording { NC_MAKE_CALLS, NC_REPLAYED };
enum { NC_RECORDING_KEY = 64 }; /* most bytes of a key */

/* How often a kernel, a copy or a fill was launched; and how often it was allowed to begin before
 * the one before it was over. */
enum { NC_LAUNCH_NAME = 64 };
struct nc_launches {
    char name[NC_LAUNCH_NAME];
    size_t count, early;
};

/* ---- The table -------------------------------------------------------------------- */

struct nc_backend; /* a backend's own state: threads, stream, handles, plans */

struct nc_ops {
    const char *name;
    struct nc_backend *backend;
    bool host_memory; /* buffers can be read by the host directly */
    size_t own_bytes; /* of its memory, those that the backend itself took when it was opened (a
                         library's work space); a memory plan adds them */

    int (*allocate)(struct nc_backend *, size_t bytes, void **out); /* not zeroed */
    void (*release)(struct nc_backend *, void *data, size_t bytes);
    /* `host` is free again when upload returns: it may have to wait for that. Page-locked memory
     * (allocate_host) is not, until the queue has come there: copy_queued is for it. */
    int (*upload)(struct nc_backend *, void *destination, const void *host, size_t bytes);
    int (*download)(struct nc_backend *, void *host, const void *source, size_t bytes);
    /* These may start and end anywhere in a buffer; fill at a multiple of 4 bytes. */
    int (*copy)(struct nc_backend *, void *destination, const void *source, size_t bytes);
    int (*zero)(struct nc_backend *, void *data, size_t bytes);
    int (*fill)(struct nc_backend *, float *data, float value, size_t count);
    int (*synchronize)(struct nc_backend *);

    /* Page-locked host memory, which queued copies need on the host's side. */
    int (*allocate_host)(struct nc_backend *, size_t bytes, void **out);
    void (*release_host)(struct nc_backend *, void *data, size_t bytes);
    /* Between the backend's memory and allocate_host's, or within one; does not wait: until the
     * queue has come there the host neither writes nor reads what is copied. release_host waits. */
    int (*copy_queued)(struct nc_backend *, enum nc_queue, void *destination, const void *source,
                       size_t bytes);
    int (*mark)(struct nc_backend *, enum nc_queue, unsigned mark);
    int (*queue_wait)(struct nc_backend *, enum nc_queue, unsigned mark);
    int (*host_wait)(struct nc_backend *, unsigned mark);
    /* Seconds between two marks of one queue, both set and waited for. */
    int (*elapsed)(struct nc_backend *, unsigned first, unsigned second, double *seconds);
    /* All four NULL: this backend records nothing. Between them only operations, copy, zero,
     * fill and convert may be called. */
    int (*record_begin)(struct nc_backend *, const void *key, size_t key_bytes, enum nc_recording *);
    int (*record_end)(struct nc_backend *);
    /* In place of record_end where a call failed, or was left out: what was recorded is thrown
     * away, and the key is as if it had never been seen. */
    void (*record_abandon)(struct nc_backend *);
    /* What recordings that were replayed since the last call consist of: how many names there are,
     * `most` of them in `list`. A node of a recording costs about a microsecond beside its work. */
    size_t (*record_launches)(struct nc_backend *, struct nc_launches *list, size_t most);

    int (*convert)(struct nc_backend *, void *destination, enum nc_type destination_type,
                   const void *source, enum nc_type source_type, size_t count);

    int (*linear)(struct nc_backend *, const struct nc_linear *);
    int (*linear_backward_input)(struct nc_backend *, const struct nc_linear_backward_input *);
    int (*linear_backward_weight)(struct nc_backend *, const struct nc_linear_backward_weight *);

    /* NC_OK where attention over such heads is supported; otherwise the message says what is. Towers
     * ask when they are planned, before anything is read or written. */
    int (*attention_supported)(struct nc_backend *, enum nc_type type, size_t heads,
                               size_t head_size);
    size_t (*attention_scratch)(struct nc_backend *, const struct nc_attention *);
    int (*attention_forward)(struct nc_backend *, const struct nc_attention *);
    int (*attention_backward)(struct nc_backend *, const struct nc_attention *);
    int (*attention_full)(struct nc_backend *, const struct nc_attention_full *);

    int (*layernorm_forward)(struct nc_backend *, const struct nc_layernorm *);
    size_t (*layernorm_scratch)(struct nc_backend *, size_t rows, size_t width);
    int (*layernorm_backward)(struct nc_backend *, const struct nc_layernorm_backward *);

    int (*activation_forward)(struct nc_backend *, const struct nc_activation_forward *);
    int (*activation_backward)(struct nc_backend *, const struct nc_activation_backward *);

    int (*embedding_forward)(struct nc_backend *, const struct nc_embedding *);
    size_t (*embedding_scratch)(struct nc_backend *, size_t rows);
    int (*embedding_backward)(struct nc_backend *, const struct nc_embedding_backward *);

    int (*gather)(struct nc_backend *, const struct nc_gather *);
    int (*scatter)(struct nc_backend *, const struct nc_scatter *);
    int (*normalize_forward)(struct nc_backend *, const struct nc_normalize *);
    int (*normalize_backward)(struct nc_backend *, const struct nc_normalize_backward *);

    size_t (*infonce_scratch)(struct nc_backend *, const struct nc_infonce *);
    int (*infonce_forward)(struct nc_backend *, const struct nc_infonce *);
    int (*infonce_backward)(struct nc_backend *, const struct nc_infonce *);
    int (*infonce_loss)(struct nc_backend *, const struct nc_infonce_loss *);

    size_t (*sigmoid_scratch)(struct nc_backend *, const struct nc_sigmoid *);
    int (*sigmoid)(struct nc_backend *, const struct nc_sigmoid *);

    size_t (*own_terms_scratch)(struct nc_backend *, size_t pairs);
    int (*own_terms)(struct nc_backend *, const struct nc_own_terms *);

    int (*adamw)(struct nc_backend *, const struct nc_adamw *);
    int (*rmsprop)(struct nc_backend *, const struct nc_rmsprop *);
    int (*sgd)(struct nc_backend *, const struct nc_sgd *);
    int (*clip)(struct nc_backend *, const struct nc_clipping *);
    /* *sum += sum of squares of `count` numbers (accumulated in fp64 on the way). */
    int (*squared_norm)(struct nc_backend *, const float *data, size_t count, double *sum);
};

/* Opens the named backend; `device` is a GPU's number, ignored by "cpu". An unknown name,
 * or one that this program was built without, is NC_USAGE and names the ones there are. */
int nc_ops_create(const char *name, int device, struct nc_ops **ops);
void nc_ops_destroy(struct nc_ops *ops);

/* Names of the backends of this build, ending with NULL. */
const char *const *nc_ops_names(void);

#ifdef __cplusplus
}
#endif
#endif
