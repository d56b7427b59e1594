/* Two groups at once in 512-bit registers, for the K layouts where the CPU has AVX-512 VNNI: what tile_k of matmul.c does
 * for eight outputs, for sixteen. The integers are the same and floats are added in the same order, so that an output
 * does not depend on which of the two computes it. */

typedef struct {
    __m512i quad[8];
    __m512i scale_a[STEPS], scale_b[STEPS]; /* times 1 to STEPS where there are rows enough to use them, else the first */
} UnpackedPair;

#define TABLE_ROWS 8

/* 32 bytes of either group; `apart` is the distance between the groups. */
static inline __m512i load_pair(const uint8_t *p, size_t apart) {
    return _mm512_inserti64x4(_mm512_castsi256_si512(load32(p)), load32(p + apart), 1);
}
static inline __m512 load_half_pair(const uint8_t *p, size_t apart) {
    __m128i one = _mm_loadu_si128((const __m128i *)p), other = _mm_loadu_si128((const __m128i *)(p + apart));
    return _mm512_cvtph_ps(_mm256_set_m128i(other, one));
}
static inline __m128i load_scale_bytes(const uint8_t *p, size_t apart) {
    return _mm_unpacklo_epi64(_mm_loadl_epi64((const __m128i *)p), _mm_loadl_epi64((const __m128i *)(p + apart)));
}
static inline __m512i interleave_pair(const uint8_t *first, const uint8_t *second, size_t apart) {
    return _mm512_inserti64x4(_mm512_castsi256_si512(interleave_bytes(first, second)),
                              interleave_bytes(first + apart, second + apart), 1);
}
static inline __m512i dot_pairs_wide(__m512i sum, __m512i pairs, const int16_t *two) {
    int32_t both;
    memcpy(&both, two, 4);
    return _mm512_dpwssd_epi32(sum, pairs, _mm512_set1_epi32(both));
}

static inline __attribute__((always_inline)) void multiples(__m512i scale, int n, __m512i *table) {
    table[0] = scale;
    if (n >= TABLE_ROWS)
        for (int t = 1; t < STEPS; t++) table[t] = _mm512_add_epi32(table[t - 1], scale);
}
static inline __attribute__((always_inline)) __m512i scaled_at(const __m512i *table, int n, int32_t times) {
    times &= 0xffff;
    return n >= TABLE_ROWS ? table[times - 1] : _mm512_mullo_epi32(table[0], _mm512_set1_epi32(times));
}

static inline __attribute__((always_inline)) void unpack_pair(int kind, const uint8_t *scales, const uint8_t *block,
                                                              size_t apart, int n, UnpackedPair *u) {
    const __m512i low = _mm512_set1_epi8(15), sixteen = _mm512_set1_epi8(16), mask = _mm512_set1_epi8(48);
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        __m512i both = load_pair(block + 32 * i, apart);
        u->quad[i] = _mm512_and_si512(both, low);
        u->quad[i + 4] = _mm512_and_si512(_mm512_srli_epi16(both, 4), low);
    }
    if (kind == P5K) {
        __m512i bits = load_pair(block + 128, apart);
#pragma GCC unroll 8
        for (int i = 0; i < 8; i++) {
            __m512i moved = i < 4 ? _mm512_slli_epi16(bits, 4 - i) : _mm512_srli_epi16(bits, i - 4);
            u->quad[i] = _mm512_or_si512(u->quad[i], _mm512_and_si512(moved, sixteen));
        }
    }
    if (kind == P6K) {
#pragma GCC unroll 8
        for (int i = 0; i < 8; i++) {
            __m512i bits = load_pair(block + 128 + 32 * (i / 4), apart);
            int k = 2 * (i % 4);
            __m512i moved = k < 4 ? _mm512_slli_epi16(bits, 4 - k) : _mm512_srli_epi16(bits, k - 4);
            u->quad[i] = _mm512_or_si512(u->quad[i], _mm512_and_si512(moved, mask));
        }
        multiples(_mm512_cvtepi8_epi32(load_scale_bytes(scales, apart)), n, u->scale_a);
        multiples(_mm512_cvtepi8_epi32(load_scale_bytes(scales + 8, apart)), n, u->scale_b);
    } else multiples(_mm512_cvtepu8_epi32(load_scale_bytes(scales, apart)), n, u->scale_a);
}

static inline __attribute__((always_inline)) __m512i dot_half(const __m512i *quad, const int8_t *q, __m512i sum) {
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        int32_t four;
        memcpy(&four, q + 4 * i, 4);
        sum = _mm512_dpbusd_epi32(sum, quad[i], _mm512_set1_epi32(four));
    }
    return sum;
}

static inline __attribute__((always_inline)) __m512i add_dot(int kind, const UnpackedPair *u, const QSpan *x, int b,
                                                             int n, __m512i sum) {
    const int8_t *q = x->q + b * BLOCK;
    __m512i scale_a = scaled_at(u->scale_a, n, x->times[b]), first, second;
    if (kind == P6K) {
        first = dot_half(u->quad, q, _mm512_set1_epi32(x->centre[b][0]));
        second = dot_half(u->quad + 4, q + 16, _mm512_set1_epi32(x->centre[b][1]));
        sum = _mm512_add_epi32(sum, _mm512_mullo_epi32(second, scaled_at(u->scale_b, n, x->times[b])));
    } else first = dot_half(u->quad + 4, q + 16, dot_half(u->quad, q, _mm512_setzero_si512()));
    return _mm512_add_epi32(sum, _mm512_mullo_epi32(first, scale_a));
}

/* Sixteen outputs of n rows. */
static inline __attribute__((always_inline)) void tile_pair(int kind, const uint8_t *at, size_t apart, int spans,
                                                            const QSpan *x, int n, float *out, int out_stride) {
    __m512 total[TILE];
    __m512i sum[TILE];
    for (int r = 0; r < n; r++) total[r] = _mm512_setzero_ps();
    for (int s = 0; s < spans; s++, x += n) {
        const uint8_t *header = at, *scales = at + 32;
        for (int r = 0; r < n; r++) sum[r] = _mm512_setzero_si512();
        at += HEADER_BYTES;
        for (int b = 0; b < BLOCKS; b++, at += bytes_per_block[kind]) {
            UnpackedPair u;
            unpack_pair(kind, scales + 16 * b, at, apart, n, &u);
            for (int ahead = 0; ahead < bytes_per_block[kind]; ahead += 64) {
                prefetch(at + PREFETCH_BYTES + ahead);
                prefetch(at + apart + PREFETCH_BYTES + ahead);
            }
#pragma GCC unroll 8
            for (int r = 0; r < n; r++) sum[r] = add_dot(kind, &u, x + r, b, n, sum[r]);
        }
        __m512 scale = load_half_pair(header, apart), minimum = load_half_pair(header + 16, apart);
        __m512i pairs[4];
        if (kind != P6K)
            for (int i = 0; i < 4; i++) pairs[i] = interleave_pair(scales + 32 * i + 8, scales + 32 * i + 24, apart);
        for (int r = 0; r < n; r++) {
            __m512 change = _mm512_mul_ps(scale, _mm512_cvtepi32_ps(sum[r]));
            if (kind != P6K) {
                __m512i low = _mm512_setzero_si512();
                for (int i = 0; i < 4; i++) low = dot_pairs_wide(low, pairs[i], x[r].sum + 2 * i);
                change = _mm512_fmadd_ps(minimum, _mm512_cvtepi32_ps(low), change);
            }
            total[r] = _mm512_fmadd_ps(change, _mm512_set1_ps(x[r].unit), total[r]);
        }
    }
    for (int r = 0; r < n; r++) _mm512_storeu_ps(out + (size_t)r * out_stride, total[r]);
}
