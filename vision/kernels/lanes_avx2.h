/* lanes.h for x86-64 with AVX2, FMA and F16C; VNNI shortens the dot products where the compiler may use it. */
#include <immintrin.h>

#if (defined(__AVX512VNNI__) && defined(__AVX512VL__)) || defined(__AVXVNNI__)
#define HAS_VNNI 1
#endif

typedef __m256 Float8;
typedef __m256i Lanes32, Quad;
typedef __m256i Partial; /* 16 int16 sums, two per output; with VNNI 8 int32 sums */

#define prefetch(p) _mm_prefetch((const char *)(p), _MM_HINT_T0)

static inline Float8 zero8(void) { return _mm256_setzero_ps(); }
static inline Float8 broadcast8(float x) { return _mm256_set1_ps(x); }
static inline Float8 load_half8(const uint8_t *p) { return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)p)); }
static inline Float8 mul8(Float8 a, Float8 b) { return _mm256_mul_ps(a, b); }
static inline Float8 scale8(Float8 a, float x) { return _mm256_mul_ps(a, _mm256_set1_ps(x)); }
static inline Float8 fma8(Float8 a, Float8 b, Float8 c) { return _mm256_fmadd_ps(a, b, c); }
static inline Float8 load8(const float *p) { return _mm256_loadu_ps(p); }
static inline void store8(float *p, Float8 a) { _mm256_storeu_ps(p, a); }
static inline Float8 bytes_to_float8(const uint8_t *p) {
    return _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)p)));
}
static inline Float8 lanes_to_float8(Lanes32 a) { return _mm256_cvtepi32_ps(a); }
static inline Lanes32 add_lanes(Lanes32 a, Lanes32 b) { return _mm256_add_epi32(a, b); }

static inline __m256i four_bytes(const int8_t *q) {
    int32_t four;
    memcpy(&four, q, 4);
    return _mm256_set1_epi32(four);
}

static inline __m256i load32(const uint8_t *p) { return _mm256_loadu_si256((const __m256i *)p); }

static inline void unpack_nibbles(const uint8_t *p, Quad *quad) {
    const __m256i low = _mm256_set1_epi8(15);
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        __m256i both = load32(p + 32 * i);
        quad[i] = _mm256_and_si256(both, low);
        quad[i + 4] = _mm256_and_si256(_mm256_srli_epi16(both, 4), low);
    }
}

static inline void add_high_bit(const uint8_t *p, Quad *quad) {
    __m256i bits = load32(p);
    const __m256i sixteen = _mm256_set1_epi8(16);
#pragma GCC unroll 8
    for (int i = 0; i < 8; i++) {
        __m256i moved = i < 4 ? _mm256_slli_epi16(bits, 4 - i) : _mm256_srli_epi16(bits, i - 4);
        quad[i] = _mm256_or_si256(quad[i], _mm256_and_si256(moved, sixteen));
    }
}

static inline void add_high_two_bits(const uint8_t *p, Quad *quad) {
    const __m256i mask = _mm256_set1_epi8(48);
#pragma GCC unroll 8
    for (int i = 0; i < 8; i++) {
        __m256i bits = load32(p + 32 * (i / 4));
        int k = 2 * (i % 4);
        __m256i moved = k < 4 ? _mm256_slli_epi16(bits, 4 - k) : _mm256_srli_epi16(bits, k - 4);
        quad[i] = _mm256_or_si256(quad[i], _mm256_and_si256(moved, mask));
    }
}

static inline void load_bytes(const uint8_t *p, Quad *quad) {
#pragma GCC unroll 8
    for (int i = 0; i < 8; i++) quad[i] = load32(p + 32 * i);
}

static inline Partial zero_start(void) { return _mm256_setzero_si256(); }

#ifdef HAS_VNNI
#ifdef __AVXVNNI__
#define dpbusd _mm256_dpbusd_avx_epi32
#else
#define dpbusd _mm256_dpbusd_epi32
#endif
static inline int32_t centre_start(int even, int odd) { return even + odd; }
static inline Lanes32 pair_scales(const uint8_t *p) { return _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)p)); }
static inline Lanes32 pair_scales_signed(const uint8_t *p) {
    return _mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)p));
}
static inline __attribute__((always_inline)) Partial dot_quads(const Quad *quad, const int8_t *q, int n, Partial sum) {
#pragma GCC unroll 8
    for (int i = 0; i < n; i++) sum = dpbusd(sum, quad[i], four_bytes(q + 4 * i));
    return sum;
}
static inline Lanes32 widen(Partial a) { return a; }
static inline Lanes32 widen_scaled(Partial a, Lanes32 scales) { return _mm256_mullo_epi32(a, scales); }
#else
static inline int32_t centre_start(int even, int odd) { return (int32_t)((uint32_t)(even & 0xffff) | (uint32_t)odd << 16); }
static inline Lanes32 twice(__m256i a) { return _mm256_blend_epi16(a, _mm256_slli_epi32(a, 16), 0xaa); }
static inline Lanes32 pair_scales(const uint8_t *p) {
    return twice(_mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)p)));
}
static inline Lanes32 pair_scales_signed(const uint8_t *p) {
    return twice(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)p)));
}
static inline __attribute__((always_inline)) Partial dot_quads(const Quad *quad, const int8_t *q, int n, Partial sum) {
    __m256i other = zero_start(); /* two chains: the adds' latency is what limits a row */
#pragma GCC unroll 8
    for (int i = 0; i < n; i += 2) {
        sum = _mm256_add_epi16(sum, _mm256_maddubs_epi16(quad[i], four_bytes(q + 4 * i)));
        other = _mm256_add_epi16(other, _mm256_maddubs_epi16(quad[i + 1], four_bytes(q + 4 * i + 4)));
    }
    return _mm256_add_epi16(sum, other);
}
static inline Lanes32 widen(Partial a) { return _mm256_madd_epi16(a, _mm256_set1_epi16(1)); }
static inline Lanes32 widen_scaled(Partial a, Lanes32 scales) { return _mm256_madd_epi16(a, scales); }
#endif

static inline Partial start_at(const int32_t *centre) { return _mm256_set1_epi32(*centre); }

/* Signed weights: the multiplier wants one unsigned factor, so the weight's sign moves to the activation. */
static inline __attribute__((always_inline)) Lanes32 dot_signed(const Quad *quad, const int8_t *q) {
    __m256i sum = _mm256_setzero_si256();
#pragma GCC unroll 8
    for (int i = 0; i < 8; i++) {
        __m256i size = _mm256_abs_epi8(quad[i]), turned = _mm256_sign_epi8(four_bytes(q + 4 * i), quad[i]);
#ifdef HAS_VNNI
        sum = dpbusd(sum, size, turned);
#else
        sum = _mm256_add_epi32(sum, _mm256_madd_epi16(_mm256_maddubs_epi16(size, turned), _mm256_set1_epi16(1)));
#endif
    }
    return sum;
}
