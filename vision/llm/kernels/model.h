/* A model, a batch and the work space of one pass; vision/llm/kernels/binding.py mirrors Model, Layer and Batch. */
#ifndef VIGNETTE_MODEL_H
#define VIGNETTE_MODEL_H

#include <stdatomic.h>
#include <string.h>

#include "matmul.h"

typedef struct {
    Matrix q, k, v, output, gate, up, down;
    const float *attention_norm, *feed_norm;
    const float *q_bias, *k_bias, *v_bias; /* qwen2; NULL elsewhere */
    const float *q_norm, *k_norm;          /* qwen3; NULL elsewhere */
} Layer;

typedef struct {
    int32_t layers, width, heads, kv_heads, head_size, hidden, interleaved;
    float epsilon;
    Matrix embedding, logits;
    const float *last_norm;
    const Layer *layer;
    const float *cosine, *sine; /* (context_tokens, head_size / 2) */
    uint16_t *keys, *values;    /* half floats: (blocks, layers, kv_heads), then as in attention.h */
} Model;

typedef struct {
    int32_t rows, outputs, table_stride, logits_stride;
    const int32_t *token, *position, *sequence; /* (rows,) */
    const int32_t *table;                       /* (sequences, table_stride): block numbers */
    const int32_t *output_row;                  /* (outputs,): the rows whose logits are wanted */
    float *logits;                              /* (outputs, logits_stride); NULL: not wanted */
    float *state;                               /* (outputs, width): what logits are products of; NULL: not wanted */
} Batch;

typedef struct { atomic_int next, done; } Counter; /* items of a phase: picked, and finished */

typedef struct {
    int threads;
    Counter *phase;
    QSpan *narrow, *wide;
    float *x, *change;                          /* (rows, width) */
    float *q, *attended, *k, *v, *gate, *up;
    float **scratch, **scores;                  /* one a worker */
} WorkSpace;

/* e^x to about 2e-7 relative, in a form compilers vectorise. */
static inline float fast_exp(float x) {
    x = x < -87.0f ? -87.0f : x > 88.0f ? 88.0f : x;
    float n = (x * 1.44269504f + 12582912.0f) - 12582912.0f; /* rounds to the nearest integer */
    float r = x - n * 0.693359375f + n * 2.12194440e-4f;
    float y = 1.9875691500e-4f;
    y = y * r + 1.3981999507e-3f;
    y = y * r + 8.3334519073e-3f;
    y = y * r + 4.1665795894e-2f;
    y = y * r + 1.6666665459e-1f;
    y = y * r + 5.0000001201e-1f;
    y = y * r * r + r + 1.0f;
    int32_t bits = ((int32_t)n + 127) << 23;
    float power;
    memcpy(&power, &bits, 4);
    return y * power;
}

#endif
