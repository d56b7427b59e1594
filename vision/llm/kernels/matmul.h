/* Packed matrices, and rows of activations quantised to multiply them by.
 * Layouts are written by vision/llm/repack.py; the two must change together (LAYOUT_VERSION there). */
#ifndef VIGNETTE_MATMUL_H
#define VIGNETTE_MATMUL_H

#include <stdint.h>
#include <stddef.h>

#define BLOCK 32        /* inputs that share a scale */
#define COLUMNS 8       /* output features interleaved in one group: the lanes of a 256-bit register */
#define KV_BLOCK 32     /* tokens in one block of the key-value cache */

enum { P4 = 0, P4K = 1, P5K = 2, P6K = 3, P8 = 4 };

typedef struct {
    int32_t kind;       /* one of the layouts above */
    int32_t outputs;    /* a multiple of COLUMNS: padded with zero weights */
    int32_t inputs;     /* a multiple of 32, of 256 for the K layouts */
    int32_t reserved;
    const uint8_t *data;
} Matrix;

#define BLOCKS 8        /* in a span, whose blocks have scales that are small multiples of one unit */
#define SPAN (BLOCKS * BLOCK)
#define STEPS 8         /* the largest multiple; with it the sums below just fit 16 bits */

/* 256 activations of one row, or what is left of it: scale[b] * q for those of block b. */
typedef struct {
    int8_t q[SPAN];
    int32_t times[BLOCKS];      /* scale / unit, 1 to STEPS, in either half of the 32 bits */
    int16_t sum[BLOCKS];        /* of q, times as many: at most STEPS * BLOCK * 127; for layouts with a minimum */
    float unit;
    float scale[BLOCKS];
    int32_t centre[BLOCKS][2];  /* takes 32 off every weight of P6K; see matmul.c */
} QSpan;

/* Rows lie in tiles of up to TILE: all rows' first spans, all rows' second spans, and so on, as they are read. */
#define TILE 16
typedef struct {
    QSpan *span;
    int32_t count, inputs;
} Rows;

static inline int spans_of(int inputs) { return (inputs + SPAN - 1) / SPAN; }

static inline int tile_height(const Rows *rows, int row) {
    int left = rows->count - row / TILE * TILE;
    return left < TILE ? left : TILE;
}

static inline QSpan *row_start(const Rows *rows, int row) {
    return rows->span + (size_t)(row / TILE * TILE) * spans_of(rows->inputs) + row % TILE;
}

void quantise_row(const float *x, const Rows *rows, int row);
void matmul_groups(const Matrix *w, const Rows *x, float *out, int out_stride, int first_group, int end_group);
void dequantise_output(const Matrix *w, int output, float *out);

#endif
