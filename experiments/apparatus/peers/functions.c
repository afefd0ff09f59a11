// Values and gradients of the workloads, written by hand; in_c.py compiles and calls them.
#include <math.h>
#include <stdlib.h>

typedef const double *restrict in;
typedef double *restrict out;
#define EACH(i, n) for (long i = 0; i < (n); i++)

double rosenbrock(long n, in x, out g) {
    double total = 0.0;
    EACH(i, n - 1) {
        double r = x[i + 1] - x[i] * x[i], s = 1.0 - x[i];
        total += 100.0 * r * r + s * s;
    }
    g[0] = -400.0 * x[0] * (x[1] - x[0] * x[0]) - 2.0 * (1.0 - x[0]);
    for (long i = 1; i < n - 1; i++)
        g[i] = 200.0 * (x[i] - x[i - 1] * x[i - 1])
             - 400.0 * x[i] * (x[i + 1] - x[i] * x[i]) - 2.0 * (1.0 - x[i]);
    g[n - 1] = 200.0 * (x[n - 1] - x[n - 2] * x[n - 2]);
    return total;
}

double product(long n, in x, in v, out g) {
    EACH(i, n) {
        double sum = i > 0 ? 200.0 * v[i] - 400.0 * x[i - 1] * v[i - 1] : 0.0;
        if (i < n - 1)
            sum += (1200.0 * x[i] * x[i] - 400.0 * x[i + 1] + 2.0) * v[i] - 400.0 * x[i] * v[i + 1];
        g[i] = sum;
    }
    return 0.0;
}

double helmholtz(long n, in x, in a, in b, out g) {
    double low = 1.0 - sqrt(2.0), high = 1.0 + sqrt(2.0), root = sqrt(8.0);
    double filled = 0.0, whole = 0.0, ideal = 0.0, square = 0.0;
    EACH(i, n) filled += b[i] * x[i], whole += x[i];
    EACH(i, n) {
        double sum = 0.0;
        EACH(j, n) sum += a[i * n + j] * x[j];
        g[i] = sum, square += x[i] * sum;
    }
    double free = 1.0 - filled, pairs = square / (root * filled);
    double ratio = log((1.0 + high * filled) / (1.0 + low * filled));
    double slope = whole / free + pairs * ratio / filled
                 - pairs * (high / (1.0 + high * filled) - low / (1.0 + low * filled));
    double drawn = 2.0 * ratio / (root * filled);
    EACH(i, n) {
        double part = log(x[i] / free);
        ideal += x[i] * part, g[i] = part + 1.0 + slope * b[i] - drawn * g[i];
    }
    return ideal - pairs * ratio;
}

double logistic(long n, long d, in w, in features, in labels, out g) {
    double total = 0.0;
    EACH(j, d) g[j] = 0.0;
    EACH(i, n) {
        const double *row = features + i * d;
        double sum = 0.0;
        EACH(j, d) sum += row[j] * w[j];
        double margin = -labels[i] * sum, e = exp(-fabs(margin));
        total += fmax(margin, 0.0) + log1p(e);
        double share = -labels[i] / n * (margin > 0.0 ? 1.0 : e) / (1.0 + e);
        EACH(j, d) g[j] += share * row[j];
    }
    return total / n;
}

double chain(long n, in x, out g) {
    double total = 0.0;
    EACH(i, n) {
        double y = x[i], slope = 1.0;
        EACH(k, 20) {
            double e = exp(-fabs(y));
            slope *= (y > 0.0 ? 1.0 : e) / (1.0 + e);
            y = fmax(y, 0.0) + log1p(e) - 0.5;
        }
        total += y, g[i] = slope;
    }
    return total;
}

double bodies(long n, in x, in m, out g) {
    double total = 0.0;
    EACH(i, 3 * n) g[i] = 0.0;
    EACH(i, n) {
        total -= 0.5 * m[i] * m[i] / 0.1;
        double gx = 0.0, gy = 0.0, gz = 0.0;
        for (long j = i + 1; j < n; j++) {
            double a = x[3 * i] - x[3 * j], b = x[3 * i + 1] - x[3 * j + 1];
            double c = x[3 * i + 2] - x[3 * j + 2], near = a * a + b * b + c * c + 0.01;
            double pull = m[i] * m[j] / sqrt(near), force = pull / near;
            total -= pull;
            gx += force * a, gy += force * b, gz += force * c;
            g[3 * j] -= force * a, g[3 * j + 1] -= force * b, g[3 * j + 2] -= force * c;
        }
        g[3 * i] += gx, g[3 * i + 1] += gy, g[3 * i + 2] += gz;
    }
    return total;
}

double pendulums(long n, long steps, in angles, in k, out by_angle, out by_k) {
    const double h = 0.02, parts[5] = {0.0, h / 2, h / 2, h, 0.0};
    const double shares[4] = {h / 6, h / 3, h / 3, h / 6};
    double total = 0.0, *met = malloc(sizeof(double) * 4 * steps);
    EACH(i, n) {
        double q = angles[i], v = 0.0;
        EACH(t, steps) {
            double kq = 0.0, kv = 0.0, dq = 0.0, dv = 0.0;
            EACH(s, 4) {
                double at = met[4 * t + s] = q + parts[s] * kq, speed = v + parts[s] * kv;
                kq = speed, kv = -k[i] * sin(at) - 0.1 * speed;
                dq += shares[s] * kq, dv += shares[s] * kv;
            }
            q += dq, v += dv;
        }
        total += q * q + v * v;
        double by_q = 2 * q, by_v = 2 * v, sum = 0.0;
        for (long t = steps - 1; t >= 0; t--) {
            double back_q = by_q, back_v = by_v, later_q = 0.0, later_v = 0.0;
            for (int s = 3; s >= 0; s--) {
                double at = met[4 * t + s], by_kq = shares[s] * by_q + parts[s + 1] * later_q;
                double by_kv = shares[s] * by_v + parts[s + 1] * later_v;
                later_q = -k[i] * cos(at) * by_kv, later_v = by_kq - 0.1 * by_kv;
                sum -= sin(at) * by_kv;
                back_q += later_q, back_v += later_v;
            }
            by_q = back_q, by_v = back_v;
        }
        by_angle[i] = by_q, by_k[i] = sum;
    }
    free(met);
    return total;
}
