/* Attention of one row over the blocks of its sequence, one key-value head at a time. */
#include <math.h>

#include "attention.h"
#include "simd.h"

int attention_items(const Model *m, const Batch *b) { return b->rows * m->kv_heads; }

size_t attention_scratch(const Model *m, int context_tokens) {
    return (size_t)(m->heads / m->kv_heads) * (context_tokens + KV_BLOCK);
}

#ifdef __F16C__
static void floats_to_halves(const float *x, uint16_t *out, int n) {
    for (int i = 0; i < n; i += 8) _mm_storeu_si128((__m128i *)(out + i), _mm256_cvtps_ph(_mm256_loadu_ps(x + i), 0));
}
#else
static void floats_to_halves(const float *x, uint16_t *out, int n) {
    for (int i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, x + i, 4);
        uint32_t sign = bits >> 16 & 0x8000, size = bits & 0x7fffffff;
        if (size >= 0x47800000) out[i] = (uint16_t)(sign | (size > 0x7f800000 ? 0x7e00 : 0x7c00));
        else if (size < 0x38800000) {
            float magnitude;
            memcpy(&magnitude, &size, 4);
            out[i] = (uint16_t)(sign | (uint32_t)lrintf(magnitude * 16777216.0f));
        } else out[i] = (uint16_t)(sign | ((size - 0x38000000 + 0xfff + (size >> 13 & 1)) >> 13));
    }
}
#endif

static uint16_t *block_of(const Model *m, uint16_t *cache, int layer, int block, int kv_head) {
    return cache + (((size_t)block * m->layers + layer) * m->kv_heads + kv_head) * KV_BLOCK * m->head_size;
}

void store_key_value(const Model *m, const Batch *b, int row, int layer, int kv_head, const float *key, const float *value) {
    int place = b->position[row] % KV_BLOCK, size = m->head_size;
    int block = b->table[(size_t)b->sequence[row] * b->table_stride + b->position[row] / KV_BLOCK];
    uint16_t *keys = block_of(m, m->keys, layer, block, kv_head) + place, halves[size];
    floats_to_halves(key, halves, size);
    for (int i = 0; i < size; i++) keys[(size_t)i * KV_BLOCK] = halves[i];
    floats_to_halves(value, block_of(m, m->values, layer, block, kv_head) + (size_t)place * size, size);
}

#define MOST_HEADS 3 /* with so many at once the sums fit the registers */

/* Scores of a block's tokens for some heads: q (heads, size), out (heads, stride). */
static inline __attribute__((always_inline)) void score(int heads, const float *q, const uint16_t *keys, int size,
                                                        float scale, float *out, int stride) {
    Float8 sum[MOST_HEADS][4];
    for (int h = 0; h < heads; h++)
        for (int t = 0; t < 4; t++) sum[h][t] = zero8();
    for (int i = 0; i < size; i++)
        for (int t = 0; t < 4; t++) {
            Float8 key = load_half8((const uint8_t *)(keys + i * KV_BLOCK + 8 * t));
            for (int h = 0; h < heads; h++) sum[h][t] = fma8(broadcast8(q[h * size + i]), key, sum[h][t]);
        }
    for (int h = 0; h < heads; h++)
        for (int t = 0; t < 4; t++) store8(out + h * stride + 8 * t, scale8(sum[h][t], scale));
}

/* Adds n tokens' values, weighted, to 8 * wide numbers of some heads. */
static inline __attribute__((always_inline)) void add_values(int heads, int wide, const float *weights, int stride,
                                                      const uint16_t *values, int n, int size, float *out) {
    Float8 sum[MOST_HEADS][4];
    for (int h = 0; h < heads; h++)
        for (int i = 0; i < wide; i++) sum[h][i] = load8(out + h * size + 8 * i);
    for (int t = 0; t < n; t++)
        for (int i = 0; i < wide; i++) {
            Float8 value = load_half8((const uint8_t *)(values + t * size + 8 * i));
            for (int h = 0; h < heads; h++) sum[h][i] = fma8(broadcast8(weights[h * stride + t]), value, sum[h][i]);
        }
    for (int h = 0; h < heads; h++)
        for (int i = 0; i < wide; i++) store8(out + h * size + 8 * i, sum[h][i]);
}

static inline __attribute__((always_inline)) void add_all_values(int heads, const float *weights, int stride,
                                                          const uint16_t *values, int n, int size, float *out) {
    if (size % 32 == 0)
        for (int i = 0; i < size; i += 32) add_values(heads, 4, weights, stride, values + i, n, size, out + i);
    else
        for (int i = 0; i < size; i += 8) add_values(heads, 1, weights, stride, values + i, n, size, out + i);
}

static void softmax(float *s, int n) {
    float most = -INFINITY, total = 0;
    for (int t = 0; t < n; t++) most = s[t] > most ? s[t] : most;
    for (int t = 0; t < n; t++) s[t] = fast_exp(s[t] - most);
#pragma omp simd reduction(+ : total)
    for (int t = 0; t < n; t++) total += s[t];
    for (int t = 0; t < n; t++) s[t] /= total;
}

/* How many heads to take at once of those left: 3 and 3, 2 and 2, 3 and 2. */
static int heads_at_once(int left) { return left == 4 ? 2 : left < MOST_HEADS ? left : MOST_HEADS; }

void attend(const Model *m, const Batch *b, WorkSpace *w, int layer, int item, int worker) {
    /* Rows of a sequence follow each other, so that one head's keys stay in the cache. */
    int row = item % b->rows, kv_head = item / b->rows, group = m->heads / m->kv_heads, size = m->head_size;
    int tokens = b->position[row] + 1, stride = (tokens + KV_BLOCK - 1) / KV_BLOCK * KV_BLOCK;
    const int32_t *table = b->table + (size_t)b->sequence[row] * b->table_stride;
    const float *q = w->q + ((size_t)row * m->heads + (size_t)kv_head * group) * size;
    float *out = w->attended + ((size_t)row * m->heads + (size_t)kv_head * group) * size;
    float *scores = w->scores[worker], scale = 1.0f / sqrtf((float)size);

    for (int first = 0; first < tokens; first += KV_BLOCK) {
        const uint16_t *keys = block_of(m, m->keys, layer, table[first / KV_BLOCK], kv_head);
        for (int h = 0, n; h < group; h += n) {
            float *to = scores + h * stride + first;
            n = heads_at_once(group - h);
            if (n == 3) score(3, q + h * size, keys, size, scale, to, stride);
            else if (n == 2) score(2, q + h * size, keys, size, scale, to, stride);
            else score(1, q + h * size, keys, size, scale, to, stride);
        }
    }
    for (int h = 0; h < group; h++) softmax(scores + h * stride, tokens);
    memset(out, 0, sizeof(float) * (size_t)group * size);
    for (int first = 0; first < tokens; first += KV_BLOCK) {
        const uint16_t *values = block_of(m, m->values, layer, table[first / KV_BLOCK], kv_head);
        int tokens_here = tokens - first < KV_BLOCK ? tokens - first : KV_BLOCK;
        for (int h = 0, n; h < group; h += n) {
            const float *weights = scores + h * stride + first;
            n = heads_at_once(group - h);
            if (n == 3) add_all_values(3, weights, stride, values, tokens_here, size, out + h * size);
            else if (n == 2) add_all_values(2, weights, stride, values, tokens_here, size, out + h * size);
            else add_all_values(1, weights, stride, values, tokens_here, size, out + h * size);
        }
    }
}
