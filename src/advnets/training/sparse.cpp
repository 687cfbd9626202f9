// Dropout, maxout, and linear maps y = x W' + b whose x or whose gradients are zero in many places: what a step of
// momentum needs of them, without the products of zeros. Of a maxout unit h[n, u] = max_j y[n, j, u] only the largest
// piece has a gradient, of rectifiers only the units that are active. And what would take many small operators: the
// numbers that decide on dropout, the losses.
//
// x: rows x below, y and g (the gradient by y): rows x above, h: rows x units, piece: rows x units (the largest j), W,
// its velocity, its copy in bfloat16: above x below, b and its velocity: above, where above is pieces x units; all
// contiguous. kernels.py compiles this file and calls what stands in extern "C".

#include "lists.hpp"
#include "mersenne.hpp"

#include <cmath>

namespace {

constexpr int64_t kAhead = 4;    // rows of weights that are fetched before they are wanted
constexpr int64_t kNarrow = 16;  // columns below which most of a tile would be empty
constexpr double kZeros = 0.45;  // share of zeros below which a dense product of torch is faster than lists
constexpr double kFew = 0.25;    // that below which a dense product of the same tiles is

float number(uint16_t x) {
  const uint32_t bits = static_cast<uint32_t>(x) << 16;
  float found;
  std::memcpy(&found, &bits, sizeof found);
  return found;
}

float number(float x) { return x; }
double number(double x) { return x; }

void store(float x, uint16_t* to) {  // to the nearest, ties to even
  uint32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  const uint32_t rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
  *to = static_cast<uint16_t>((bits & 0x7fffffff) > 0x7f800000 ? 0x7fc0 : rounded);
}
void store(float x, float* to) { *to = x; }
void store(double x, double* to) { *to = x; }

// x where its number is below the threshold, scaled; zero elsewhere.
template <typename T, typename Scale>
void masked(T* kept, const T* x, const int16_t* numbers, Scale scale, int64_t count, int16_t threshold) {
#pragma omp parallel for schedule(static) if (count > kAlone)
  for (int64_t first = 0; first < count; first += 4096) {
    const int64_t last = std::min(first + 4096, count);
    for (int64_t i = first; i < last; i++) store(number(x[i]) * (numbers[i] < threshold ? scale : Scale(0)), &kept[i]);
  }
}

template <typename T>
void largest(T* h, int32_t* piece, const T* y, int64_t rows, int64_t units, int64_t pieces) {
#pragma omp parallel for schedule(static) if (rows * units * pieces > kAlone)
  for (int64_t n = 0; n < rows; n++) {
    T* best = h + n * units;
    int32_t* which = piece + n * units;
    std::copy(y + n * pieces * units, y + (n * pieces + 1) * units, best);
    std::fill(which, which + units, 0);
    for (int64_t j = 1; j < pieces; j++) {
      const T* of_piece = y + (n * pieces + j) * units;
      for (int64_t u = 0; u < units; u++) {
        const auto new_one = number(of_piece[u]);
        const bool larger = new_one > number(best[u]) || new_one != new_one;  // what is not finite has to be seen
        best[u] = larger ? of_piece[u] : best[u];
        which[u] = larger ? static_cast<int32_t>(j) : which[u];
      }
    }
  }
}

// g by y, given that by h: times the slope of the unit, of which h tells.
template <typename T> void slope(T* g, const T* h, int64_t count, int64_t sigmoid) {
#pragma omp parallel for schedule(static) if (count > kAlone)
  for (int64_t first = 0; first < count; first += 4096) {
    const int64_t last = std::min(first + 4096, count);
    if (sigmoid)
      for (int64_t i = first; i < last; i++) store(number(g[i]) * (number(h[i]) * (1 - number(h[i]))), &g[i]);
    else
      for (int64_t i = first; i < last; i++) g[i] = number(h[i]) > 0 ? g[i] : T(0);
  }
}

template <typename T> int64_t zeros(const T* numbers, int64_t count) {
  return std::count(numbers, numbers + count, T(0));
}

// How many of the first rows to take without their zeros, so that most is gained.
template <typename T> int64_t with_zeros(const T* x, int64_t rows, int64_t below) {
  double gain = 0, most = 0;
  int64_t many = 0;
  for (int64_t n = 0; n < rows; n++) {
    gain += zeros(x + n * below, below) - kFew * below;
    if (gain > most) most = gain, many = n + 1;
  }
  return many;
}

// Asks for numbers before they are wanted, and for no line more, which another thread may be writing.
template <int to_write = 0, typename T> void fetch(const T* numbers, int64_t count) {
  for (int64_t i = 0; i < count; i += kLine / sizeof(T)) __builtin_prefetch(numbers + i, to_write);
}

// Columns by tiles of a width, those that follow one another by one thread.
template <typename T, typename Work> void over_tiles(int64_t columns, int64_t products, const Work& work) {
  const int64_t part = share<T>(columns);
#pragma omp parallel for schedule(static) if (products > 8 * kAlone)
  for (int64_t from = 0; from < columns; from += part) {
    const int64_t to = std::min(from + part, columns);
    for (int64_t first = from; first < to; first += kWidth<T>) work(first, std::min(kWidth<T>, to - first));
  }
}

// y = x W' + b, of the first rows without the zeros of x where these have many. W is above x below, or below x above
// where it is laid out by columns. False where it is narrow, and nothing is done.
template <typename T>
bool forward(T* y, const T* x, const T* weight, const T* bias, int64_t rows, int64_t below, int64_t above,
             bool by_columns) {
  if (above < kNarrow) return false;
  const int64_t listed = with_zeros(x, rows, below);
  const auto entries = Entries<T>::of_rows({x, nullptr, listed, below, 1}, kBlock);
  over_tiles<T>(above, rows * below * above, [&](int64_t first, int64_t width) {
    const Tile<T> tile(kBlock), sums(rows);
    for (int64_t n = 0; n < rows; n++) std::memcpy(sums.row(n), bias + first, width * sizeof(T));
    for (int64_t block = 0, begin = 0; begin < below; block++, begin += kBlock) {
      const int64_t count = std::min(kBlock, below - begin), next = begin + count;
      const int64_t after = std::min(kBlock, below - next), lines = after == 0 ? 0 : by_columns ? after : width;
      if (by_columns)
        pack(tile.at, weight + begin * above, count, above, first, width);
      else
        pack_transposed(tile, weight, below, first, width, begin, count);
      for (int64_t n = 0, some; n < rows; n += some) {
        some = n < listed ? 1 : std::min<int64_t>(kTogether, rows - n);
        for (int64_t i = n * lines / rows; i < (n + some) * lines / rows; i++)
          by_columns ? fetch(weight + (next + i) * above + first, width)
                     : fetch(weight + (first + i) * below + next, after);
        if (n < listed)
          entries.add(sums.at[n], n, block, tile.at, width);
        else
          add_dense(sums.at + n, x + n * below + begin, some, below, count, tile.at, width);
      }
    }
    for (int64_t n = 0; n < rows; n++) std::memcpy(y + n * above + first, sums.row(n), width * sizeof(T));
  });
  return true;
}

// Weights that move by v = momentum v + gradient, w -= rate v.
template <typename T> struct Moved {
  T *weight, *velocity;
  uint16_t* coarse;  // the weights in bfloat16, or null
  T rate, momentum;

  void fetch(int64_t at, int64_t count) const {
    ::fetch<1>(velocity + at, count);
    ::fetch<1>(weight + at, count);
  }
  void by(const T* gradient, int64_t at, int64_t count) const {
    T *w = weight + at, *v = velocity + at;
    for (int64_t i = 0; i < count; i++) {
      v[i] = momentum * v[i] + gradient[i];
      w[i] -= rate * v[i];
    }
    if (coarse)
      for (int64_t i = 0; i < count; i++) store(static_cast<float>(w[i]), &coarse[at + i]);
  }
};

template <typename T> void move_bias(T* velocity, const Units<T>& g, const Entries<T>& of_units, T momentum) {
  for (int64_t j = 0; j < g.pieces; j++)
    for (int64_t u = 0; u < g.units; u++) {
      T& moved = velocity[j * g.units + u];
      moved *= momentum;
      const int64_t part = u * g.pieces + j;
      for (int64_t i = of_units.begin(0, part); i < of_units.begin(0, part + 1); i++) moved += of_units.entry[i].factor;
    }
}

// Columns of the gradient by x from `first`: sums of those rows of W that the lists of rows of g name.
template <typename T>
void by_input(T* of_x, const T* weight, const Units<T>& g, const Entries<T>& of_rows, int64_t below, int64_t first,
              int64_t width, int64_t together, int64_t skipped) {
  const int64_t rows = g.rows - skipped;
  const Tile<T> tile(together * g.pieces), sums(rows);
  std::memset(sums.at, 0, rows * kTile);
  const auto row = [&](int64_t which) {  // of W, as tiles have them
    return weight + (which % g.pieces * g.units + which / g.pieces) * below + first;
  };
  for (int64_t block = 0; block < of_rows.parts; block++) {
    const int64_t begin = block * together * g.pieces, end = std::min(begin + together * g.pieces, g.units * g.pieces);
    const int64_t after = std::min(end + together * g.pieces, g.units * g.pieces) - end;
    for (int64_t which = begin; which < end; which++)
      std::memcpy(tile.row(which - begin), row(which), width * sizeof(T));
    for (int64_t n = 0; n < rows; n++) {
      for (int64_t next = n * after / rows; next < (n + 1) * after / rows; next++) fetch(row(end + next), width);
      of_rows.add(sums.at[n], n + skipped, block, tile.at, width);
    }
  }
  for (int64_t n = 0; n < rows; n++) std::memcpy(of_x + n * below + first, sums.row(n), width * sizeof(T));
}

// The gradient by x of the rows from `skipped`, and the step of W by that of all rows; columns of W are read for the
// first and are in the cache for the second. False where rectifiers have few zeros, and nothing is done.
template <typename T>
bool backward(const Moved<T>& moved, T* of_bias, T* of_x, const Units<T>& g, const T* x, int64_t below,
              int64_t skipped) {
  const int64_t count = g.rows * g.units;
  if (!g.piece && g.units >= kNarrow && zeros(g.numbers, count) < kZeros * count) return false;
  const int64_t together = std::max<int64_t>(1, kBlock / g.pieces);
  const auto of_rows = Entries<T>::of_rows(g, together);
  const auto of_units = of_rows.turned(g.rows, together * g.pieces, g.units * g.pieces);
  move_bias(of_bias, g, of_units, moved.momentum);
  over_tiles<T>(below, g.rows * below * g.units, [&](int64_t first, int64_t width) {
    if (of_x) by_input(of_x, moved.weight, g, of_rows, below, first, width, together, skipped);
    const Tile<T> tile(g.rows);
    pack(tile.at, x, g.rows, below, first, width);
    for (int64_t j = 0; j < g.pieces; j++)
      for (int64_t u = 0; u < g.units; u++) {
        const int64_t which = j * g.units + u;
        moved.fetch(std::min(which + kAhead, g.units * g.pieces - 1) * below + first, width);
        Sum<T> sum{};
        of_units.add(sum, 0, u * g.pieces + j, tile.at, width);
        moved.by(reinterpret_cast<const T*>(sum.of), which * below + first, width);
      }
  });
  return true;
}

// The same for a W that is laid out by columns, by the zeros of x: they come from rectifiers, and where x is zero the
// gradient by it is not made, but zero. A row of the memory of W is what one unit below passes on.
template <typename T>
bool backward_columns(const Moved<T>& moved, T* of_bias, T* of_x, const T* g, const T* x, int64_t rows, int64_t below,
                      int64_t above, int64_t skipped) {
  if (above < kNarrow || zeros(x, rows * below) < kZeros * rows * below) return false;
  for (int64_t o = 0; o < above; o++) of_bias[o] *= moved.momentum;
  for (int64_t n = 0; n < rows; n++)
    for (int64_t o = 0; o < above; o++) of_bias[o] += g[n * above + o];
  const auto of_units = Entries<T>::of_rows({x, nullptr, rows, below, 1}, kBlock).turned(rows, kBlock, below);
  std::unique_ptr<T[]> dots(new T[of_units.begin(0, below)]());
  const int64_t part = share<T>(below);
#pragma omp parallel for schedule(static) if (rows * below * above > 8 * kAlone)
  for (int64_t from = 0; from < below; from += part) {
    const int64_t to = std::min(from + part, below);
    const Tile<T> tile(rows);
    for (int64_t first = 0; first < above; first += kWidth<T>) {
      const int64_t width = std::min(kWidth<T>, above - first);
      pack(tile.at, g, rows, above, first, width);
      for (int64_t u = from; u < to; u++) {
        const int64_t begin = of_units.begin(0, u), at = u * above + first;
        moved.fetch(std::min(u + kAhead, to - 1) * above + first, width);
        if (of_x) {
          typename Dots<T>::Row row{};
          std::memcpy(&row, moved.weight + at, width * sizeof(T));
          Dots<T>::add(&dots[begin], row, reinterpret_cast<const typename Dots<T>::Row*>(tile.at),
                       &of_units.entry[begin], of_units.begin(0, u + 1) - begin);
        }
        Sum<T> sum{};
        of_units.add(sum, 0, u, tile.at, width);
        moved.by(reinterpret_cast<const T*>(sum.of), at, width);
      }
    }
    if (!of_x) continue;
    for (int64_t n = skipped; n < rows; n++) std::fill_n(of_x + (n - skipped) * below + from, to - from, T(0));
    for (int64_t u = from; u < to; u++)
      for (int64_t i = of_units.begin(0, u); i < of_units.begin(0, u + 1); i++)
        if (of_units.entry[i].row >= skipped) of_x[(of_units.entry[i].row - skipped) * below + u] = dots[i];
  }
  return true;
}

// Of logits of D, half of them by data: the gradient of its loss by each, what turns that by a fake into G's, and what
// is measured: the value of the game, both losses, means of D by data and by fakes.
template <typename T>
void losses(T* seed, T* ratio, float* measures, const T* logits, double minimax, double other, double smallest,
            int64_t half) {
  double log_accepted[2] = {}, log_rejected[2] = {}, mean[2] = {};
  for (int64_t i = 0; i < 2 * half; i++) {
    const double l = logits[i], small = std::exp(-std::abs(l)), log = -std::log1p(small);
    const double accepted = (l < 0 ? small : 1) / (1 + small), rejected = (l < 0 ? 1 : small) / (1 + small);
    const bool fake = i >= half;
    log_accepted[fake] += (std::min(l, 0.0) + log) / half;
    log_rejected[fake] += (std::min(-l, 0.0) + log) / half;
    mean[fake] += accepted / half;
    const double by_fake = std::max(accepted, smallest);
    seed[i] = (fake ? by_fake : -rejected) / (2 * half);
    if (fake) ratio[i - half] = -2 * (minimax * accepted + other * rejected) / by_fake;
  }
  const double value = log_accepted[0] + log_rejected[1];
  const double found[] = {value, -value / 2, minimax * log_rejected[1] - other * log_accepted[1], mean[0], mean[1]};
  std::copy(found, found + 5, measures);
}

// A step of momentum by a dense gradient in bfloat16.
void dense(const Moved<float> moved, const uint16_t* gradient, int64_t count) {
  constexpr int64_t kTogether = 64;
#pragma omp parallel for schedule(static) if (count > kAlone)
  for (int64_t first = 0; first < count; first += kTogether) {
    float exact[kTogether];
    const int64_t width = std::min(kTogether, count - first);
    for (int64_t i = 0; i < width; i++) exact[i] = number(gradient[first + i]);
    moved.by(exact, first, width);
  }
}

}  // namespace

#define LINEAR(T, NAME)                                                                                                \
  bool forward_##NAME(T* y, const T* x, const T* weight, const T* bias, int64_t rows, int64_t below, int64_t above,    \
                      int64_t by_columns) {                                                                            \
    return forward<T>(y, x, weight, bias, rows, below, above, by_columns);                                             \
  }                                                                                                                    \
  bool backward_##NAME(T* weight, T* velocity, uint16_t* coarse, T* of_bias, T* of_x, const T* g,                      \
                       const int32_t* piece, const T* x, T rate, T momentum, int64_t rows, int64_t below,              \
                       int64_t units, int64_t pieces, int64_t skipped, int64_t by_columns) {                           \
    const Moved<T> moved{weight, velocity, coarse, rate, momentum};                                                    \
    return by_columns ? backward_columns<T>(moved, of_bias, of_x, g, x, rows, below, units, skipped)                   \
                      : backward<T>(moved, of_bias, of_x, {g, piece, rows, units, pieces}, x, below, skipped);         \
  }                                                                                                                    \
  void losses_##NAME(T* seed, T* ratio, float* measures, const T* logits, T minimax, T other, T smallest,              \
                     int64_t half) {                                                                                   \
    losses<T>(seed, ratio, measures, logits, minimax, other, smallest, half);                                          \
  }

#define UNITS(T, NAME, SCALE)                                                                                          \
  void masked_##NAME(T* kept, const T* x, const int16_t* numbers, SCALE scale, int64_t count, int64_t threshold) {     \
    masked<T, SCALE>(kept, x, numbers, scale, count, static_cast<int16_t>(threshold));                                 \
  }                                                                                                                    \
  void largest_##NAME(T* h, int32_t* piece, const T* y, int64_t rows, int64_t units, int64_t pieces) {                 \
    largest<T>(h, piece, y, rows, units, pieces);                                                                      \
  }                                                                                                                    \
  void slope_##NAME(T* g, const T* h, int64_t count, int64_t sigmoid) { slope<T>(g, h, count, sigmoid); }

extern "C" {
void draw_int64(uint8_t* state, uint64_t* to, int64_t count) { draw(state, to, count); }
UNITS(float, float32, float)
UNITS(double, float64, double)
UNITS(uint16_t, bfloat16, float)
LINEAR(float, float32)
LINEAR(double, float64)
void dense_float32(float* weight, float* velocity, uint16_t* coarse, const uint16_t* gradient, float rate,
                   float momentum, int64_t count) {
  dense({weight, velocity, coarse, rate, momentum}, gradient, count);
}
}
