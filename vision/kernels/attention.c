/* Attention of one row over the blocks of its sequence, one key-value head at a time.
 *
 * Keys lie transposed within a block, (head_size, KV_BLOCK), so that eight tokens' scores grow in one register;
 * values lie (KV_BLOCK, head_size). Every row is computed in the same order whatever else is in the batch, so that
 * batches and caches do not change a bit. */
#include <math.h>

#include "decoder.h"
#include "lanes.h"

int attention_items(const Model *m, const Batch *b) { return b->rows * m->kv_heads; }

size_t attention_scratch(const Model *m, int context_tokens) {
    return (size_t)(m->heads / m->kv_heads) * (context_tokens + KV_BLOCK) + (size_t)KV_BLOCK * m->head_size;
}

#ifdef __F16C__
static void floats_to_halves(const float *x, uint16_t *out, int n) {
    for (int i = 0; i < n; i += 8) _mm_storeu_si128((__m128i *)(out + i), _mm256_cvtps_ph(_mm256_loadu_ps(x + i), 0));
}
static void halves_to_floats(const uint16_t *x, float *out, int n) {
    for (int i = 0; i < n; i += 8) _mm256_storeu_ps(out + i, _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(x + i))));
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
static void halves_to_floats(const uint16_t *x, float *out, int n) {
    for (int i = 0; i < n; i++) out[i] = half_to_float(x[i]);
}
#endif

static uint16_t *block_of(const Model *m, uint16_t *cache, int layer, int block, int kv_head) {
    return cache + (((size_t)block * m->layers + layer) * m->kv_heads + kv_head) * KV_BLOCK * m->head_size;
}

void keep(const Model *m, const Batch *b, int row, int layer, int kv_head, const float *key, const float *value) {
    int place = b->position[row] % KV_BLOCK, size = m->head_size;
    int block = b->table[(size_t)b->sequence[row] * b->table_stride + b->position[row] / KV_BLOCK];
    uint16_t *keys = block_of(m, m->keys, layer, block, kv_head) + place, halves[size];
    floats_to_halves(key, halves, size);
    for (int i = 0; i < size; i++) keys[(size_t)i * KV_BLOCK] = halves[i];
    floats_to_halves(value, block_of(m, m->values, layer, block, kv_head) + (size_t)place * size, size);
}

/* Scores of a block's tokens for some heads: q (heads, size), out (heads, stride). */
static inline __attribute__((always_inline)) void score(int heads, const float *q, const float *keys, int size,
                                                        float scale, float *out, int stride) {
    Float8 sum[2][4];
    for (int h = 0; h < heads; h++)
        for (int t = 0; t < 4; t++) sum[h][t] = zero8();
    for (int i = 0; i < size; i++)
        for (int h = 0; h < heads; h++)
            for (int t = 0; t < 4; t++)
                sum[h][t] = fma8(broadcast8(q[h * size + i]), load8(keys + i * KV_BLOCK + 8 * t), sum[h][t]);
    for (int h = 0; h < heads; h++)
        for (int t = 0; t < 4; t++) store8(out + h * stride + 8 * t, scale8(sum[h][t], scale));
}

/* Adds n tokens' values, weighted, to 8 * wide numbers of some heads. */
static inline __attribute__((always_inline)) void mix(int heads, int wide, const float *weights, int stride,
                                                      const float *values, int n, int size, float *out) {
    Float8 sum[2][4];
    for (int h = 0; h < heads; h++)
        for (int i = 0; i < wide; i++) sum[h][i] = load8(out + h * size + 8 * i);
    for (int t = 0; t < n; t++)
        for (int h = 0; h < heads; h++)
            for (int i = 0; i < wide; i++)
                sum[h][i] = fma8(broadcast8(weights[h * stride + t]), load8(values + t * size + 8 * i), sum[h][i]);
    for (int h = 0; h < heads; h++)
        for (int i = 0; i < wide; i++) store8(out + h * size + 8 * i, sum[h][i]);
}

static void soften(float *s, int n) {
    float most = -INFINITY, total = 0;
    for (int t = 0; t < n; t++) most = s[t] > most ? s[t] : most;
    for (int t = 0; t < n; t++) s[t] = fast_exp(s[t] - most);
#pragma omp simd reduction(+ : total)
    for (int t = 0; t < n; t++) total += s[t];
    for (int t = 0; t < n; t++) s[t] /= total;
}

void attend(const Model *m, const Batch *b, Work *w, int layer, int item, int member) {
    int row = item / m->kv_heads, kv_head = item % m->kv_heads, group = m->heads / m->kv_heads, size = m->head_size;
    int tokens = b->position[row] + 1, stride = (tokens + KV_BLOCK - 1) / KV_BLOCK * KV_BLOCK;
    const int32_t *table = b->table + (size_t)b->sequence[row] * b->table_stride;
    const float *q = w->q + ((size_t)row * m->heads + (size_t)kv_head * group) * size;
    float *out = w->attended + ((size_t)row * m->heads + (size_t)kv_head * group) * size;
    float *block = w->scores[member], *scores = block + KV_BLOCK * size, scale = 1.0f / sqrtf((float)size);

    for (int first = 0; first < tokens; first += KV_BLOCK) {
        halves_to_floats(block_of(m, m->keys, layer, table[first / KV_BLOCK], kv_head), block, KV_BLOCK * size);
        for (int h = 0; h < group; h += 2) {
            if (h + 1 < group) score(2, q + h * size, block, size, scale, scores + h * stride + first, stride);
            else score(1, q + h * size, block, size, scale, scores + h * stride + first, stride);
        }
    }
    for (int h = 0; h < group; h++) soften(scores + h * stride, tokens);
    memset(out, 0, sizeof(float) * (size_t)group * size);
    for (int first = 0; first < tokens; first += KV_BLOCK) {
        int n = tokens - first < KV_BLOCK ? tokens - first : KV_BLOCK, step = size % 32 ? 8 : 32;
        halves_to_floats(block_of(m, m->values, layer, table[first / KV_BLOCK], kv_head), block, n * size);
        for (int h = 0; h < group; h += 2)
            for (int i = 0; i < size; i += step) {
                const float *weights = scores + h * stride + first;
                float *to = out + h * size + i;
                if (step == 8) mix(1, 1, weights, stride, block + i, n, size, to);
                if (step == 8 && h + 1 < group) mix(1, 1, weights + stride, stride, block + i, n, size, to + size);
                if (step == 32 && h + 1 < group) mix(2, 4, weights, stride, block + i, n, size, to);
                if (step == 32 && h + 1 == group) mix(1, 4, weights, stride, block + i, n, size, to);
            }
    }
}
