/* One pass of a llama, qwen2 or qwen3 decoder over a batch of rows.
 *
 * A row is one token of one sequence at one position. Rows of a sequence come in order of position; sequences may mix.
 * Keys and values live in blocks of KV_BLOCK tokens that sequences refer to by table, so that sequences share a
 * prefix by naming the same blocks. All workers of the pool run `pass`, phase after phase. */
#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "attention.h"
#include "thread_pool.h"

#define PHASES_PER_LAYER 10

typedef struct {
    const Model *model;
    const Batch *batch;
    WorkSpace *work;
} Pass;

/* A phase is so many items of work, taken by whoever comes. It is over when all items are done, not when all workers
 * have arrived: a worker that the system put aside between two items holds nobody up. */
typedef struct { int total, done; Counter *counter; } Phase;

static Phase open_phase(Pass *p, int number, int total) { return (Phase){total, 0, &p->work->phase[number]}; }

static int pick(Phase *phase, int by) {
    if (atomic_load_explicit(&phase->counter->next, memory_order_relaxed) >= phase->total) return phase->total;
    return atomic_fetch_add_explicit(&phase->counter->next, by, memory_order_relaxed);
}

static void close_phase(Phase *phase) {
    if (phase->done) atomic_fetch_add_explicit(&phase->counter->done, phase->done, memory_order_acq_rel);
    wait_for_count(&phase->counter->done, phase->total);
}

/* for (each item of phase number) { ... }  close_phase */
#define EACH_ITEM(item, phase) for (int item; (item = pick(&phase, 1)) < phase.total; phase.done++)

typedef struct { const Matrix *weight; const Rows *rows; float *out; int stride; } Product;

/* Groups of outputs a worker takes at a time. With many rows a pick reads all their activations again, which do not fit
 * the nearer caches, so it should be large; with few rows small picks keep the workers even. */
static int groups_per_pick(const Pass *p, int rows, int total) {
    int even = total / (4 * p->work->threads);
    if (rows < TILE || even < 4) return 4;
    return even < 32 ? even : 32;
}

/* Several products as one phase: their groups are numbered through. */
static void multiply(Pass *p, int number, const Product *products, int count) {
    int total = 0;
    for (int i = 0; i < count; i++) total += products[i].weight->outputs / COLUMNS;
    Phase phase = open_phase(p, number, total);
    int by = groups_per_pick(p, products[0].rows->count, total);
    for (int first; (first = pick(&phase, by)) < total;) {
        int end = first + by < total ? first + by : total, offset = 0;
        for (int i = 0; i < count; i++) {
            int size = products[i].weight->outputs / COLUMNS;
            int from = first > offset ? first - offset : 0, to = end - offset < size ? end - offset : size;
            if (from < to)
                matmul_groups(products[i].weight, products[i].rows, products[i].out, products[i].stride, from, to);
            offset += size;
        }
        phase.done += end - first;
    }
    close_phase(&phase);
}

static void rms_norm(const float *x, const float *weight, int n, float epsilon, float *out) {
    float square = 0;
#pragma omp simd reduction(+ : square)
    for (int i = 0; i < n; i++) square += x[i] * x[i];
    float scale = 1.0f / sqrtf(square / (float)n + epsilon);
    for (int i = 0; i < n; i++) out[i] = x[i] * scale * weight[i];
}

static void rotate(float *head, const float *cosine, const float *sine, int size, int interleaved) {
    int half = size / 2;
    for (int i = 0; i < half; i++) {
        int a = interleaved ? 2 * i : i, b = interleaved ? 2 * i + 1 : i + half;
        float x = head[a], y = head[b];
        head[a] = x * cosine[i] - y * sine[i];
        head[b] = x * sine[i] + y * cosine[i];
    }
}

static void prepare_heads(Pass *p, int layer, int row) {
    const Model *m = p->model;
    const Layer *l = &m->layer[layer];
    int size = m->head_size, half = size / 2, position = p->batch->position[row];
    const float *cosine = m->cosine + (size_t)position * half, *sine = m->sine + (size_t)position * half;
    float *q = p->work->q + (size_t)row * m->heads * size;
    float *k = p->work->k + (size_t)row * m->kv_heads * size, *v = p->work->v + (size_t)row * m->kv_heads * size;
    if (l->q_bias) for (int i = 0; i < m->heads * size; i++) q[i] += l->q_bias[i];
    if (l->k_bias) for (int i = 0; i < m->kv_heads * size; i++) k[i] += l->k_bias[i];
    if (l->v_bias) for (int i = 0; i < m->kv_heads * size; i++) v[i] += l->v_bias[i];
    for (int h = 0; h < m->heads; h++) {
        if (l->q_norm) rms_norm(q + h * size, l->q_norm, size, m->epsilon, q + h * size);
        rotate(q + h * size, cosine, sine, size, m->interleaved);
    }
    for (int h = 0; h < m->kv_heads; h++) {
        if (l->k_norm) rms_norm(k + h * size, l->k_norm, size, m->epsilon, k + h * size);
        rotate(k + h * size, cosine, sine, size, m->interleaved);
        store_key_value(m, p->batch, row, layer, h, k + h * size, v + h * size);
    }
}

static void add(float *x, const float *change, int n) {
    for (int i = 0; i < n; i++) x[i] += change[i];
}

static void layer_pass(Pass *p, int layer, int first, int worker) {
    const Model *m = p->model;
    const Layer *l = &m->layer[layer];
    WorkSpace *w = p->work;
    int n = p->batch->rows, attended = m->heads * m->head_size, kv = m->kv_heads * m->head_size;
    const Rows narrow = {w->narrow, n, m->width}, wide = {w->wide, n, attended}, hidden = {w->wide, n, m->hidden};
    Phase phase;

    phase = open_phase(p, first, n);
    EACH_ITEM(row, phase) {
        float *x = w->x + (size_t)row * m->width;
        if (layer) add(x, w->change + (size_t)row * m->width, m->width);
        rms_norm(x, l->attention_norm, m->width, m->epsilon, w->scratch[worker]);
        quantise_row(w->scratch[worker], &narrow, row);
    }
    close_phase(&phase);
    const Product qkv[] = {{&l->q, &narrow, w->q, attended}, {&l->k, &narrow, w->k, kv}, {&l->v, &narrow, w->v, kv}};
    multiply(p, first + 1, qkv, 3);

    phase = open_phase(p, first + 2, n);
    EACH_ITEM(row, phase) prepare_heads(p, layer, row);
    close_phase(&phase);
    phase = open_phase(p, first + 3, attention_items(m, p->batch));
    EACH_ITEM(item, phase) attend(m, p->batch, w, layer, item, worker);
    close_phase(&phase);
    phase = open_phase(p, first + 4, n);
    EACH_ITEM(row, phase) quantise_row(w->attended + (size_t)row * attended, &wide, row);
    close_phase(&phase);
    const Product out[] = {{&l->output, &wide, w->change, m->width}};
    multiply(p, first + 5, out, 1);

    phase = open_phase(p, first + 6, n);
    EACH_ITEM(row, phase) {
        float *x = w->x + (size_t)row * m->width;
        add(x, w->change + (size_t)row * m->width, m->width);
        rms_norm(x, l->feed_norm, m->width, m->epsilon, w->scratch[worker]);
        quantise_row(w->scratch[worker], &narrow, row);
    }
    close_phase(&phase);
    const Product gated[] = {{&l->gate, &narrow, w->gate, m->hidden}, {&l->up, &narrow, w->up, m->hidden}};
    multiply(p, first + 7, gated, 2);

    phase = open_phase(p, first + 8, n);
    EACH_ITEM(row, phase) {
        float *gate = w->gate + (size_t)row * m->hidden, *up = w->up + (size_t)row * m->hidden;
        for (int i = 0; i < m->hidden; i++) gate[i] = gate[i] / (1.0f + fast_exp(-gate[i])) * up[i];
        quantise_row(gate, &hidden, row);
    }
    close_phase(&phase);
    const Product down[] = {{&l->down, &hidden, w->change, m->width}}; /* added by the next layer's first phase */
    multiply(p, first + 9, down, 1);
}

static void pass(void *state, int worker) {
    Pass *p = state;
    const Model *m = p->model;
    const Batch *b = p->batch;
    WorkSpace *w = p->work;
    Phase phase = open_phase(p, 0, b->rows);
    EACH_ITEM(row, phase) dequantise_output(&m->embedding, b->token[row], w->x + (size_t)row * m->width);
    close_phase(&phase);
    for (int layer = 0; layer < m->layers; layer++) layer_pass(p, layer, 1 + layer * PHASES_PER_LAYER, worker);
    int last = 1 + m->layers * PHASES_PER_LAYER;
    const Rows narrow = {w->narrow, b->outputs, m->width};
    phase = open_phase(p, last, b->outputs);
    EACH_ITEM(i, phase) {
        float *x = w->x + (size_t)b->output_row[i] * m->width;
        add(x, w->change + (size_t)b->output_row[i] * m->width, m->width);
        rms_norm(x, m->last_norm, m->width, m->epsilon, w->scratch[worker]);
        if (b->state) memcpy(b->state + (size_t)i * m->width, w->scratch[worker], (size_t)m->width * sizeof(float));
        quantise_row(w->scratch[worker], &narrow, i);
    }
    close_phase(&phase);
    const Product logits[] = {{&m->logits, &narrow, b->logits, b->logits_stride}};
    if (b->outputs && b->logits) multiply(p, last + 1, logits, 1);
}

static void *floats(size_t n, size_t size) {
    void *p = NULL;
    return posix_memalign(&p, 64, n * size + 64) ? NULL : p;
}

/* Called from binding.py, as is decode. */
void work_close(WorkSpace *w) {
    for (int i = 0; i < w->threads; i++) {
        if (w->scratch) free(w->scratch[i]);
        if (w->scores) free(w->scores[i]);
    }
    void *all[] = {w->narrow, w->wide, w->phase, w->scratch, w->scores, w->x, w->change, w->q, w->attended, w->k, w->v, w->gate, w->up};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
    free(w);
}

WorkSpace *work_open(const Model *m, int rows, int threads, int context_tokens) {
    WorkSpace *w = calloc(1, sizeof(WorkSpace));
    if (!w) return NULL;
    size_t n = (size_t)rows, attended = (size_t)m->heads * m->head_size, kv = (size_t)m->kv_heads * m->head_size;
    size_t wide = attended > (size_t)m->hidden ? attended : (size_t)m->hidden;
    w->threads = threads;
    w->phase = calloc((size_t)(3 + m->layers * PHASES_PER_LAYER), sizeof(Counter));
    w->scratch = calloc((size_t)threads, sizeof(float *));
    w->scores = calloc((size_t)threads, sizeof(float *));
    int good = w->phase && w->scratch && w->scores && (w->narrow = floats(n * spans_of(m->width), sizeof(QSpan)));
    good = good && (w->wide = floats(n * spans_of((int)wide), sizeof(QSpan)));
    good = good && (w->x = floats(n * m->width, 4)) && (w->change = floats(n * m->width, 4));
    good = good && (w->q = floats(n * attended, 4)) && (w->attended = floats(n * attended, 4));
    good = good && (w->k = floats(n * kv, 4)) && (w->v = floats(n * kv, 4));
    good = good && (w->gate = floats(n * m->hidden, 4)) && (w->up = floats(n * m->hidden, 4));
    for (int i = 0; good && i < threads; i++) {
        w->scratch[i] = floats((size_t)m->width, 4);
        w->scores[i] = floats(attention_scratch(m, context_tokens), 4);
        good = w->scratch[i] && w->scores[i];
    }
    if (!good) { work_close(w); return NULL; }
    return w;
}

void decode(const Model *model, const Batch *batch, WorkSpace *work, ThreadPool *pool) {
    Pass p = {model, batch, work};
    int phases = 3 + model->layers * PHASES_PER_LAYER;
    for (int i = 0; i < phases; i++) {
        atomic_store_explicit(&work->phase[i].next, 0, memory_order_relaxed);
        atomic_store_explicit(&work->phase[i].done, 0, memory_order_relaxed);
    }
    pool_run(pool, pass, &p);
}
