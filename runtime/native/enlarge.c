/* Linear interpolation of bytes. A row is enlarged along x once, by shuffles, and serves all the rows near it. */
#include "kernels.h"

#if defined(__x86_64__)
#include <immintrin.h>
#else
#include <arm_neon.h>
#endif

enum { ONE = 128, SPAN = 16 };

/* For each value of an enlarged row: the values on either side of it, and the right one's weight of ONE. */
struct columns {
    int count;
    int spans;     /* so many times sixteen values are made by shuffles; 0 where their sources lie too far apart */
    int *left, *right;
    word *weight;
    int *first;    /* of each span: where its sources begin, and which of them each value takes */
    bytes16 *from_left, *from_right;
};

static void columns_free(struct columns *c)
{
    if (!c)
        return;
    free(c->left);
    free(c->weight);
    free(c->from_left);
    free(c);
}

/* The sources of each span, as sixteen bytes to shuffle. */
static void find_spans(struct columns *c)
{
    c->spans = c->count / SPAN;
    for (int s = 0; s < c->spans; s++) {
        const int *left = c->left + SPAN * s, *right = c->right + SPAN * s;
        int low = left[0], high = right[0];
        for (int i = 1; i < SPAN; i++) {
            low = smaller(low, left[i]);
            high = larger(high, right[i]);
        }
        if (high - low >= SPAN) {
            c->spans = 0;
            return;
        }
        c->first[s] = low;
        for (int i = 0; i < SPAN; i++) {
            c->from_left[s][i] = (byte)(left[i] - low);
            c->from_right[s][i] = (byte)(right[i] - low);
        }
    }
}

static struct columns *columns_make(int from, int to, int channels)
{
    struct columns *c = calloc(1, sizeof *c);
    size_t count = (size_t)to * channels, spans = count / SPAN + 1;
    if (!c)
        return NULL;
    c->count = (int)count;
    c->left = malloc((2 * count + spans) * sizeof *c->left);
    c->weight = malloc(count * sizeof *c->weight);
    c->from_left = aligned_alloc(sizeof(bytes16), 2 * spans * sizeof(bytes16));
    if (!c->left || !c->weight || !c->from_left) {
        columns_free(c);
        return NULL;
    }
    c->right = c->left + count;
    c->first = c->right + count;
    c->from_right = c->from_left + spans;
    for (int x = 0; x < to; x++) {
        double at = (x + 0.5) * from / to - 0.5; /* centres of pixels, as OpenCV has them */
        at = at < 0 ? 0 : at > from - 1 ? from - 1 : at;
        int left = (int)at, right = smaller(left + 1, from - 1);
        for (int i = 0; i < channels; i++) {
            c->left[x * channels + i] = left * channels + i;
            c->right[x * channels + i] = right * channels + i;
            c->weight[x * channels + i] = (word)((at - left) * ONE + 0.5);
        }
    }
    find_spans(c);
    return c;
}

/* The values of `row` times ONE, enlarged; a vector may be read behind its end. */
static void enlarge_row(const struct columns *c, const byte *row, word *restrict out)
{
    for (int s = 0; s < c->spans; s++) {
        bytes16 source;
        words16 weight, left, right;
        memcpy(&source, row + c->first[s], sizeof source);
        memcpy(&weight, c->weight + SPAN * s, sizeof weight);
        left = __builtin_convertvector(__builtin_shuffle(source, c->from_left[s]), words16);
        right = __builtin_convertvector(__builtin_shuffle(source, c->from_right[s]), words16);
        left = left * ONE + (right - left) * weight;
        memcpy(out + SPAN * s, &left, sizeof left);
    }
    for (int i = SPAN * c->spans; i < c->count; i++)
        out[i] = (word)(row[c->left[i]] * ONE + (row[c->right[i]] - row[c->left[i]]) * c->weight[i]);
}

int enlarged_begin(enlarged *e, const byte *picture, int rows, int columns, int channels, int height, int width)
{
    size_t count = (size_t)width * channels;
    *e = (enlarged){.picture = picture, .rows = rows, .row_bytes = columns * channels, .height = height, .which = {-1, -1}};
    e->columns = columns_make(columns, width, channels);
    e->source = calloc((size_t)e->row_bytes + SPAN, 1);
    e->kept[0] = calloc(3 * (count + SPAN), sizeof(word));
    e->kept[1] = e->kept[0] + count + SPAN;
    e->between = e->kept[1] + count + SPAN;
    if (e->columns && e->source && e->kept[0])
        return 0;
    enlarged_end(e);
    return -1;
}

void enlarged_end(enlarged *e)
{
    columns_free(e->columns);
    free(e->source);
    free(e->kept[0]);
}

/* Row `row` of the picture, enlarged along x; `other` is not to be lost for it. */
static const word *kept_row(enlarged *e, int row, int other)
{
    int i = e->which[1] == row || (e->which[0] != row && e->which[0] == other);
    if (e->which[i] != row) {
        memcpy(e->source, e->picture + (size_t)row * e->row_bytes, (size_t)e->row_bytes);
        enlarge_row(e->columns, e->source, e->kept[i]);
        e->which[i] = row;
    }
    return e->kept[i];
}

void enlarged_seek(enlarged *e, int y)
{
    double at = (y + 0.5) * e->rows / e->height - 0.5;
    at = at < 0 ? 0 : at > e->rows - 1 ? e->rows - 1 : at;
    e->above = (int)at;
    e->below = smaller(e->above + 1, e->rows - 1);
    e->weight = (word)smaller((int)((at - e->above) * 32768 + 0.5), 32767);
}

/* a b / 32768, rounded: one instruction, which compilers do not find by themselves. */
static words16 product(words16 a, words16 b)
{
#if defined(__x86_64__)
    return (words16)_mm256_mulhrs_epi16((__m256i)a, (__m256i)b);
#else
    int16x8_t p[2], q[2];
    memcpy(p, &a, sizeof p);
    memcpy(q, &b, sizeof q);
    for (int i = 0; i < 2; i++)
        p[i] = vqrdmulhq_s16(p[i], q[i]);
    memcpy(&a, p, sizeof a);
    return a;
#endif
}

const word *enlarged_row(enlarged *e, int start, int end)
{
    const word *upper = kept_row(e, e->above, e->below), *lower = kept_row(e, e->below, e->above);
    for (int i = start; i < end; i += SPAN) { /* the rows have room for a vector behind them */
        words16 a, b;
        memcpy(&a, upper + i, sizeof a);
        memcpy(&b, lower + i, sizeof b);
        a += product(b - a, e->weight - (words16){0});
        memcpy(e->between + i, &a, sizeof a);
    }
    return e->between + start;
}
