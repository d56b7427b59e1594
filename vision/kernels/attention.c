/* Attention of one row over the blocks of its sequence, one key-value head at a time. */
#include <math.h>

#include "decoder.h"
#include "lanes.h"

int attention_items(const Model *m, const Batch *b) { return b->rows * m->kv_heads; }

size_t attention_scratch(const Model *m, int context_tokens) {
    return (size_t)(m->heads / m->kv_heads) * (context_tokens + KV_BLOCK) + (size_t)KV_BLOCK * m->head_size;
}

#ifdef __F16C__
void floats_to_halves(const float *x, uint16_t *out, int n) {
    for (int i = 0; i < n; i += 8) _mm_storeu_si128((__m128i *)(out + i), _mm256_cvtps_ph(_mm256_loadu_ps(x + i), 0));
}
static void halves_to_floats(const uint16_t *x, float *out, int n) {
    for (int i = 0; i < n; i += 8) _mm256_storeu_ps(out + i, _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(x + i))));
}
#else
void floats_to_halves(const float *x, uint16_t *out, int n) {
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

static float dot(const float *a, const float *b, int n) {
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int i = 0; i < n; i++) sum += a[i] * b[i];
    return sum;
}

static const uint16_t *block_of(const Model *m, const uint16_t *cache, int layer, int block, int kv_head) {
    return cache + (((size_t)block * m->layers + layer) * m->kv_heads + kv_head) * KV_BLOCK * m->head_size;
}

void attend(const Model *m, const Batch *b, Work *w, int layer, int item, int member) {
    int row = item / m->kv_heads, kv_head = item % m->kv_heads, group = m->heads / m->kv_heads, size = m->head_size;
    int tokens = b->position[row] + 1, stride = (tokens + KV_BLOCK - 1) / KV_BLOCK * KV_BLOCK;
    const int32_t *table = b->table + (size_t)b->sequence[row] * b->table_stride;
    const float *q = w->q + ((size_t)row * m->heads + (size_t)kv_head * group) * size;
    float *out = w->attended + ((size_t)row * m->heads + (size_t)kv_head * group) * size;
    float *block = w->scores[member], *scores = block + KV_BLOCK * size;
    float scale = 1.0f / sqrtf((float)size);

    for (int first = 0; first < tokens; first += KV_BLOCK) {
        int n = tokens - first < KV_BLOCK ? tokens - first : KV_BLOCK;
        halves_to_floats(block_of(m, m->keys, layer, table[first / KV_BLOCK], kv_head), block, n * size);
        for (int h = 0; h < group; h++)
            for (int t = 0; t < n; t++)
                scores[h * stride + first + t] = scale * dot(q + h * size, block + t * size, size);
    }
    for (int h = 0; h < group; h++) {
        float *s = scores + h * stride, most = -INFINITY, total = 0;
        for (int t = 0; t < tokens; t++) most = fmaxf(most, s[t]);
        for (int t = 0; t < tokens; t++) total += s[t] = fast_exp(s[t] - most);
        for (int t = 0; t < tokens; t++) s[t] /= total;
    }
    memset(out, 0, sizeof(float) * (size_t)group * size);
    for (int first = 0; first < tokens; first += KV_BLOCK) {
        int n = tokens - first < KV_BLOCK ? tokens - first : KV_BLOCK;
        halves_to_floats(block_of(m, m->values, layer, table[first / KV_BLOCK], kv_head), block, n * size);
        for (int h = 0; h < group; h++)
            for (int t = 0; t < n; t++) {
                float weight = scores[h * stride + first + t];
                for (int i = 0; i < size; i++) out[h * size + i] += weight * block[t * size + i];
            }
    }
}
