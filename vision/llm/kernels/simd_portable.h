/* simd.h in plain C: eight-element arrays that a vectorising compiler turns into whatever the CPU has. */
typedef struct { float v[8]; } Float8;
typedef struct { int32_t v[8]; } Lanes32;
typedef Lanes32 Partial;
typedef struct { uint8_t v[32]; } Quad;
typedef struct { uint8_t v[2][8]; } Pairs;

#define prefetch(p) ((void)0)
#define EACH for (int i = 0; i < 8; i++)

static inline Float8 broadcast8(float x) { Float8 a; EACH a.v[i] = x; return a; }
static inline Float8 zero8(void) { return broadcast8(0); }
static inline Float8 load_half8(const uint8_t *p) { Float8 a; EACH a.v[i] = half_at(p, i); return a; }
static inline Float8 mul8(Float8 a, Float8 b) { EACH a.v[i] *= b.v[i]; return a; }
static inline Float8 scale8(Float8 a, float x) { EACH a.v[i] *= x; return a; }
static inline Float8 fma8(Float8 a, Float8 b, Float8 c) { EACH c.v[i] += a.v[i] * b.v[i]; return c; }
static inline Float8 load8(const float *p) { Float8 a; memcpy(a.v, p, 32); return a; }
static inline void store8(float *p, Float8 a) { memcpy(p, a.v, 32); }
static inline Float8 lanes_to_float8(Lanes32 x) { Float8 a; EACH a.v[i] = (float)x.v[i]; return a; }
static inline Lanes32 add_lanes(Lanes32 a, Lanes32 b) { EACH a.v[i] += b.v[i]; return a; }
static inline Lanes32 pair_scales(const uint8_t *p) { Lanes32 a; EACH a.v[i] = p[i]; return a; }
static inline Lanes32 pair_scales_signed(const uint8_t *p) { Lanes32 a; EACH a.v[i] = ((const int8_t *)p)[i]; return a; }

static inline void unpack_nibbles(const uint8_t *p, Quad *quad) {
    for (int k = 0; k < 4; k++)
        for (int i = 0; i < 32; i++) {
            quad[k].v[i] = p[32 * k + i] & 15;
            quad[k + 4].v[i] = p[32 * k + i] >> 4;
        }
}
static inline void add_high_bit(const uint8_t *p, Quad *quad) {
    for (int k = 0; k < 8; k++)
        for (int i = 0; i < 32; i++) quad[k].v[i] |= (uint8_t)((p[i] >> k & 1) << 4);
}
static inline void add_high_two_bits(const uint8_t *p, Quad *quad) {
    for (int k = 0; k < 8; k++)
        for (int i = 0; i < 32; i++) quad[k].v[i] |= (uint8_t)((p[32 * (k / 4) + i] >> 2 * (k % 4) & 3) << 4);
}
static inline void load_bytes(const uint8_t *p, Quad *quad) { memcpy(quad, p, 256); }

static inline Partial dot_quads(const Quad *quad, const int8_t *q, int n, Partial sum) {
    for (int k = 0; k < n; k++)
        EACH for (int j = 0; j < 4; j++) sum.v[i] += quad[k].v[4 * i + j] * q[4 * k + j];
    return sum;
}
static inline Lanes32 widen(Partial a) { return a; }
static inline Lanes32 widen_scaled(Partial a, Lanes32 scales) { EACH a.v[i] *= scales.v[i]; return a; }
static inline Lanes32 multiplied(Lanes32 scales, int32_t times) { EACH scales.v[i] *= times & 0xffff; return scales; }
static inline Pairs interleave_bytes(const uint8_t *first, const uint8_t *second) {
    Pairs pairs;
    memcpy(pairs.v[0], first, 8);
    memcpy(pairs.v[1], second, 8);
    return pairs;
}
static inline Lanes32 dot_pairs(Pairs pairs, const int16_t *two) {
    Lanes32 a;
    EACH a.v[i] = pairs.v[0][i] * two[0] + pairs.v[1][i] * two[1];
    return a;
}
static inline Partial zero_start(void) { Partial a; EACH a.v[i] = 0; return a; }
static inline Partial start_at(const int32_t *centre) { Partial a; EACH a.v[i] = *centre; return a; }
static inline Lanes32 dot_signed(const Quad *quad, const int8_t *q) {
    Lanes32 sum = zero_start();
    for (int k = 0; k < 8; k++)
        EACH for (int j = 0; j < 4; j++) sum.v[i] += (int8_t)quad[k].v[4 * i + j] * q[4 * k + j];
    return sum;
}

static inline float largest_of_block(const float *x) {
    float largest = 0;
    for (int i = 0; i < 32; i++) {
        float size = x[i] < 0 ? -x[i] : x[i];
        largest = largest > size ? largest : size;
    }
    return largest;
}

/* 32 activations to int8: returns the sum of the integers, and in centre, for either half, what -32 times their sum is
 * to a Partial. */
static inline int round_block(const float *x, float inverse_scale, int8_t *q, int32_t *centre) {
    int total[2] = {0, 0};
    for (int i = 0; i < 32; i++) {
        float rounded = x[i] * inverse_scale + 12582912.0f; /* rounds to the nearest integer, which is in the low bits */
        int32_t bits;
        memcpy(&bits, &rounded, 4);
        q[i] = (int8_t)bits;
        total[i / 16] += q[i];
    }
    centre[0] = -32 * total[0];
    centre[1] = -32 * total[1];
    return total[0] + total[1];
}
#undef EACH
