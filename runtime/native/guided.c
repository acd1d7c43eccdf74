/* The fast guided filter: in every window of a small grid the matte is fitted as a linear function of the three colours, and the
   fit is applied to each pixel of the guide. He, Sun & Tang 2013, equations 19 to 21; He & Sun 2015, algorithm 2.
   refinement/guided.py says it in NumPy, and more slowly. */
#include "kernels.h"

enum {
    STRIDE = 4, /* pixels of the guide from one window to the next */
    FIT = 4     /* planes of a fit: one for each colour, and a constant */
};
enum { BLUE, GREEN, RED, MATTE, BB, GG, RR, GR, RB, BG, PB, PG, PR, PLANES }; /* what is averaged */

typedef float floats4 __attribute__((vector_size(16)));

/* The planes of one region of the grid. */
typedef struct {
    int rows, columns;
    float *values; /* PLANES of them: colours, matte, and products; the fit of each window, once it is known */
    float *means;  /* of them over windows */
    float *fit;    /* of colours and constant, averaged over windows */
    float *row;    /* with a rim on either side */
} region;

static float *plane(const region *r, float *planes, int index) { return planes + (size_t)index * r->rows * r->columns; }

static int mirrored(int i, int count)
{
    while (i < 0 || i >= count)
        i = i < 0 ? -1 - i : 2 * count - 1 - i;
    return i;
}

/* The mean over (2 reach + 1)^2 values, mirrored at the edges. */
static void box(const region *r, const float *restrict from, float *restrict to, int reach)
{
    int columns = r->columns, side = 2 * reach + 1;
    float *restrict row = r->row + reach, scale = 1.0f / (float)(side * side);
    for (int y = 0; y < r->rows; y++, to += columns) {
        memcpy(row, from + (size_t)mirrored(y - reach, r->rows) * columns, (size_t)columns * sizeof *row);
        for (int d = 1 - reach; d <= reach; d++) {
            const float *other = from + (size_t)mirrored(y + d, r->rows) * columns;
            for (int x = 0; x < columns; x++)
                row[x] += other[x];
        }
        for (int d = 1; d <= reach; d++) {
            row[-d] = row[mirrored(-d, columns)];
            row[columns - 1 + d] = row[mirrored(columns - 1 + d, columns)];
        }
        for (int x = 0; x < columns; x++)
            to[x] = row[x - reach];
        for (int d = 1 - reach; d <= reach; d++)
            for (int x = 0; x < columns; x++)
                to[x] += row[x + d];
        for (int x = 0; x < columns; x++)
            to[x] *= scale;
    }
}

/* Of the region's colours (in rows of `stride`) and matte, all that has to be averaged. */
static void multiply(const region *r, const byte *colours, const float *matte, int stride)
{
    static const int products[][2] = {{BLUE, BLUE}, {GREEN, GREEN}, {RED, RED},   {GREEN, RED}, {RED, BLUE},
                                      {BLUE, GREEN}, {MATTE, BLUE},  {MATTE, GREEN}, {MATTE, RED}};
    int size = r->rows * r->columns;
    for (int y = 0; y < r->rows; y++)
        for (int x = 0; x < r->columns; x++)
            for (int k = BLUE; k <= RED; k++)
                plane(r, r->values, k)[y * r->columns + x] = colours[3 * ((size_t)y * stride + x) + k] * (1 / 255.0f);
    for (int y = 0; y < r->rows; y++)
        memcpy(plane(r, r->values, MATTE) + (size_t)y * r->columns, matte + (size_t)y * stride, (size_t)r->columns * sizeof *matte);
    for (int k = BB; k < PLANES; k++) {
        const float *a = plane(r, r->values, products[k - BB][0]), *b = plane(r, r->values, products[k - BB][1]);
        float *restrict out = plane(r, r->values, k);
        for (int i = 0; i < size; i++)
            out[i] = a[i] * b[i];
    }
}

/* The fit: a = inverse(covariance + eps) . correlation, by the cofactors of the symmetric matrix; b = p - a . I, in bytes. */
static void solve(const region *r, float eps, float *restrict fit)
{
    size_t size = (size_t)r->rows * r->columns;
    const float *restrict m = r->means;
#define MEAN(k) m[(k) * size + i]
    for (size_t i = 0; i < size; i++) {
        float b = MEAN(BLUE), g = MEAN(GREEN), red = MEAN(RED), p = MEAN(MATTE);
        float bb = MEAN(BB) - b * b + eps, gg = MEAN(GG) - g * g + eps, rr = MEAN(RR) - red * red + eps;
        float gr = MEAN(GR) - g * red, rb = MEAN(RB) - red * b, bg = MEAN(BG) - b * g;
        float pb = MEAN(PB) - p * b, pg = MEAN(PG) - p * g, pr = MEAN(PR) - p * red;
        float c_bb = gg * rr - gr * gr, c_gg = rr * bb - rb * rb, c_rr = bb * gg - bg * bg;
        float c_gr = rb * bg - bb * gr, c_rb = bg * gr - gg * rb, c_bg = gr * rb - rr * bg;
        float determinant = bb * c_bb + bg * c_bg + rb * c_rb;
        float inverse = 1.0f / (determinant > 1e-18f ? determinant : 1e-18f);
        float a0 = (c_bb * pb + c_bg * pg + c_rb * pr) * inverse;
        float a1 = (c_bg * pb + c_gg * pg + c_gr * pr) * inverse;
        float a2 = (c_rb * pb + c_gr * pg + c_rr * pr) * inverse;
        fit[i] = a0;
        fit[size + i] = a1;
        fit[2 * size + i] = a2;
        fit[3 * size + i] = 255 * (p - a0 * b - a1 * g - a2 * red);
    }
#undef MEAN
}

/* Row y of a plane of the fit, STRIDE times as wide. */
static void widen(const float *row, int columns, float *restrict out)
{
    const floats4 before = {0.375f, 0.125f, 0, 0}, here = {0.625f, 0.875f, 0.875f, 0.625f}, behind = {0, 0, 0.125f, 0.375f};
    for (int x = 0; x < columns; x++) {
        floats4 v = before * row[larger(x - 1, 0)] + here * row[x] + behind * row[smaller(x + 1, columns - 1)];
        memcpy(out + STRIDE * x, &v, sizeof v);
    }
}

/* One row of the result: q = a . I + b, the fit lying between those of two rows. */
static void apply(const float *restrict upper, const float *restrict lower, float weight, const byte *restrict guide, int count,
                  byte *restrict out)
{
#define AT(k) (upper[(k) * count + x] + (lower[(k) * count + x] - upper[(k) * count + x]) * weight)
    for (int x = 0; x < count; x++) {
        float q = AT(0) * guide[3 * x] + AT(1) * guide[3 * x + 1] + AT(2) * guide[3 * x + 2] + AT(3) + 0.5f;
        q = q > 0 ? q : 0;
        q = q < 255 ? q : 255;
        out[x] = (byte)(int)q;
    }
#undef AT
}

/* The fit of a region, from its means to every pixel; `wide` holds two widened rows of it. */
static void apply_all(const region *r, const byte *guide, byte *out, int width, float *wide)
{
    int count = STRIDE * r->columns, which[2] = {-1, -1};
    size_t size = (size_t)r->rows * r->columns;
    for (int y = 0; y < STRIDE * r->rows; y++) {
        static const float weights[STRIDE] = {0.625f, 0.875f, 0.125f, 0.375f}; /* of the lower row */
        int above = y / STRIDE - (y % STRIDE < STRIDE / 2);
        const float *rows[2];
        for (int side = 0; side < 2; side++) {
            int row = smaller(larger(above + side, 0), r->rows - 1), slot = row % 2;
            float *kept = wide + (size_t)slot * FIT * count;
            if (which[slot] != row) {
                for (int k = 0; k < FIT; k++)
                    widen(r->fit + k * size + (size_t)row * r->columns, r->columns, kept + k * count);
                which[slot] = row;
            }
            rows[side] = kept;
        }
        apply(rows[0], rows[1], weights[y % STRIDE], guide + (size_t)3 * y * width, count, out + (size_t)y * width);
    }
}

/* Into out (height, width) the matte (rows, columns) of floats in 0..1, along the edges of guide (height, width, 3); colours is
   the guide at the size of the matte, height = 4 rows, width = 4 columns. Only the windows of top..bottom and left..right are
   fitted, their pixels written. reach: the windows' half width, in windows; smooth: that over which fits are averaged. */
int edgeseg_guided(const byte *guide, const byte *colours, const float *matte, int columns, int top, int left, int bottom, int right,
                   int reach, int smooth, float eps, byte *out)
{
    region r = {.rows = bottom - top, .columns = right - left};
    size_t size = (size_t)r.rows * r.columns, from = (size_t)top * columns + left;
    size_t rim = 2 * (size_t)larger(reach, smooth), wide = (size_t)2 * FIT * STRIDE * r.columns;
    float *block = malloc(((2 * PLANES + FIT) * size + r.columns + rim + wide) * sizeof *block);
    if (!block)
        return -1;
    r.values = block;
    r.means = r.values + PLANES * size;
    r.fit = r.means + PLANES * size;
    r.row = r.fit + FIT * size;
    multiply(&r, colours + 3 * from, matte + from, columns);
    for (int k = 0; k < PLANES; k++)
        box(&r, plane(&r, r.values, k), plane(&r, r.means, k), reach);
    solve(&r, eps, r.values);
    for (int k = 0; k < FIT; k++)
        box(&r, plane(&r, r.values, k), plane(&r, r.fit, k), smooth);
    int width = STRIDE * columns;
    size_t corner = (size_t)STRIDE * top * width + (size_t)STRIDE * left;
    apply_all(&r, guide + 3 * corner, out + corner, width, r.row + r.columns + rim);
    free(block);
    return 0;
}
