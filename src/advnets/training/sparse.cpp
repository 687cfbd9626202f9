// Dropout, maxout, and linear maps y = x W' + b whose x or whose gradients are zero in many places: what a step of
// momentum needs of them, without the products of zeros. Of a maxout unit h[n, u] = max_j y[n, j, u] only the largest
// piece has a gradient, of rectifiers only the units that are active.
//
// x: rows x below, y and g (the gradient by y): rows x above, h: rows x units, piece: rows x units (the largest j), W,
// its velocity, its copy in bfloat16: above x below, b and its velocity: above, where above is pieces x units; all
// contiguous. kernels.py compiles this file and calls what stands in extern "C".

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>
#include <new>
#include <numeric>
#include <vector>

namespace {

#if defined(__AVX512F__)
constexpr int64_t kRegister = 64;  // bytes
#elif defined(__AVX__)
constexpr int64_t kRegister = 32;
#else
constexpr int64_t kRegister = 16;
#endif
constexpr int64_t kTile = std::min<int64_t>(256, 8 * kRegister);  // bytes of a row that are summed in registers
constexpr int64_t kBlock = 32768 / kTile;  // rows of a tile that stay in the first cache
constexpr int64_t kLine = 64;              // bytes of a cache line
constexpr int64_t kAhead = 4;              // rows of weights that are fetched before they are wanted
constexpr int64_t kAlone = 1 << 16;        // numbers that one thread is done with before it has woken another
constexpr int64_t kNarrow = 16;            // columns below which most of a tile would be empty
constexpr double kZeros = 0.45;            // share of zeros below which a dense product is faster

template <typename T> constexpr int64_t kWidth = kTile / sizeof(T);

// kTile bytes of a row, in registers where the compiler can.
template <typename T> struct Sum {
  typedef T Vector __attribute__((vector_size(kRegister)));
  static constexpr int kVectors = kTile / kRegister;
  Vector of[kVectors];

  void add(T factor, const Vector* row) {
#pragma GCC unroll 8
    for (int i = 0; i < kVectors; i++) of[i] += factor * row[i];
  }
};

// Rows of kTile bytes.
template <typename T> struct Tile {
  explicit Tile(int64_t rows) : at(static_cast<Sum<T>*>(::operator new(rows * kTile, std::align_val_t(kLine)))) {}
  ~Tile() { ::operator delete(at, std::align_val_t(kLine)); }
  Tile(const Tile&) = delete;
  Tile& operator=(const Tile&) = delete;

  T* row(int64_t which) const { return reinterpret_cast<T*>(at + which); }
  Sum<T>* at;
};

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

// Numbers by units, of which each stands for that piece of its unit that is named beside it; without names there is one.
template <typename T> struct Units {
  const T* numbers;
  const int32_t* piece;
  int64_t rows, units, pieces;
};

template <typename T> bool few_zeros(const T* numbers, int64_t count) {
  return std::count(numbers, numbers + count, T(0)) < kZeros * count;
}

// Lists of those that are not zero, with the row of a tile that each multiplies. A list has parts, which follow one
// another. What is zero is written too, and over it what comes next, for a branch would take longer.
template <typename T> struct Entries {
  Entries(int64_t lists, int64_t parts, int64_t length)
      : parts(parts), stride(length + 1), row(new int32_t[lists * stride]), factor(new T[lists * stride]),
        bounds(new int32_t[lists * (parts + 1)]) {}

  // A list for each row, whose parts are blocks of `together` units.
  static Entries of_rows(const Units<T>& x, int64_t together) {
    Entries made(x.rows, (x.units + together - 1) / together, x.units);
#pragma omp parallel for schedule(static) if (x.rows * x.units > kAlone / 4)
    for (int64_t n = 0; n < x.rows; n++) {
      int32_t count = 0;
      for (int64_t part = 0; part < made.parts; part++) {
        made.begin(n, part) = count;
        const int64_t first = part * together;
        for (int64_t u = first; u < std::min(first + together, x.units); u++) {
          const int64_t at = n * x.units + u;
          made.put(n, count, (u - first) * x.pieces + (x.piece ? x.piece[at] : 0), x.numbers[at]);
          count += x.numbers[at] != T(0);
        }
      }
      made.begin(n, made.parts) = count;
    }
    return made;
  }

  // A list for each unit, whose parts are its pieces.
  static Entries of_units(const Units<T>& x) {
    Entries made(x.units, x.pieces, x.rows);
#pragma omp parallel for schedule(static) if (x.rows * x.units > kAlone / 4)
    for (int64_t u = 0; u < x.units; u++) {
      made.begin(u, 0) = 0;
      if (x.piece) {
        made.sort(x, u);
        continue;
      }
      int32_t count = 0;
      for (int64_t n = 0; n < x.rows; n++) {
        const T number = x.numbers[n * x.units + u];
        made.put(u, count, n, number);
        count += number != T(0);
      }
      made.begin(u, 1) = count;
    }
    return made;
  }

  // The same for a unit of several pieces: each part begins where those before it end.
  void sort(const Units<T>& x, int64_t u) {
    std::vector<int32_t> next(x.pieces + 2, 0);  // the last is for zeros
    for (int64_t n = 0; n < x.rows; n++) next[bucket(x, n, u) + 1]++;
    for (int64_t j = 0; j <= x.pieces; j++) next[j + 1] += next[j];
    std::copy(next.begin(), next.begin() + x.pieces + 1, &begin(u, 0));
    for (int64_t n = 0; n < x.rows; n++) put(u, next[bucket(x, n, u)]++, n, x.numbers[n * x.units + u]);
  }
  static int64_t bucket(const Units<T>& x, int64_t n, int64_t u) {
    const int64_t piece = x.piece[n * x.units + u];  // read in any case, for a branch would take longer
    return x.numbers[n * x.units + u] != T(0) ? piece : x.pieces;
  }

  void put(int64_t list, int32_t place, int64_t of_tile, T number) {
    row[list * stride + place] = static_cast<int32_t>(of_tile);
    factor[list * stride + place] = number;
  }
  int32_t& begin(int64_t list, int64_t part) const { return bounds[list * (parts + 1) + part]; }
  const T* factors(int64_t list, int64_t part) const { return &factor[list * stride + begin(list, part)]; }

  void add(Sum<T>& sum, int64_t list, int64_t part, const Sum<T>* tile) const {
    const int32_t* rows = &row[list * stride];
    const T* numbers = &factor[list * stride];
    const int32_t from = begin(list, part), to = begin(list, part + 1);
    Sum<T> in_registers = sum;
    int32_t i = from;
    if constexpr (Sum<T>::kVectors <= 4) {  // two sums at a time, since an addition takes longer than a load
      Sum<T> other{};
      for (; i + 1 < to; i += 2) {
        in_registers.add(numbers[i], tile[rows[i]].of);
        other.add(numbers[i + 1], tile[rows[i + 1]].of);
      }
      in_registers.add(T(1), other.of);
    }
    for (; i < to; i++) in_registers.add(numbers[i], tile[rows[i]].of);
    sum = in_registers;
  }

  int64_t parts, stride;
  std::unique_ptr<int32_t[]> row;
  std::unique_ptr<T[]> factor;
  std::unique_ptr<int32_t[]> bounds;
};

// Columns of a matrix from `first`.
template <typename T> void pack(const Tile<T>& tile, const T* matrix, int64_t rows, int64_t columns, int64_t first) {
  const int64_t width = std::min(kWidth<T>, columns - first);
  if (width < kWidth<T>) std::memset(tile.at, 0, rows * kTile);
  for (int64_t n = 0; n < rows; n++) std::memcpy(tile.row(n), matrix + n * columns + first, width * sizeof(T));
}

#if defined(__has_builtin)
#if __has_builtin(__builtin_shufflevector)
#define SHUFFLES
#endif
#endif

// Four columns of four rows, `apart` numbers apart, as four rows kWidth apart.
template <typename T> void turn(T* to, const T* from, int64_t apart) {
#ifdef SHUFFLES
  typedef T Four __attribute__((vector_size(4 * sizeof(T))));
  Four a, b, c, d;
  std::memcpy(&a, from, sizeof a);
  std::memcpy(&b, from + apart, sizeof b);
  std::memcpy(&c, from + 2 * apart, sizeof c);
  std::memcpy(&d, from + 3 * apart, sizeof d);
  const Four ab = __builtin_shufflevector(a, b, 0, 4, 1, 5), cd = __builtin_shufflevector(c, d, 0, 4, 1, 5);
  const Four ab_high = __builtin_shufflevector(a, b, 2, 6, 3, 7), cd_high = __builtin_shufflevector(c, d, 2, 6, 3, 7);
  a = __builtin_shufflevector(ab, cd, 0, 1, 4, 5);
  b = __builtin_shufflevector(ab, cd, 2, 3, 6, 7);
  c = __builtin_shufflevector(ab_high, cd_high, 0, 1, 4, 5);
  d = __builtin_shufflevector(ab_high, cd_high, 2, 3, 6, 7);
  std::memcpy(to, &a, sizeof a);
  std::memcpy(to + kWidth<T>, &b, sizeof b);
  std::memcpy(to + 2 * kWidth<T>, &c, sizeof c);
  std::memcpy(to + 3 * kWidth<T>, &d, sizeof d);
#else
  for (int64_t i = 0; i < 4; i++)
    for (int64_t j = 0; j < 4; j++) to[i * kWidth<T> + j] = from[j * apart + i];
#endif
}

// Columns [begin, begin + count) of a matrix's rows from `first`, as rows of a tile.
template <typename T>
void pack_transposed(const Tile<T>& tile, const T* matrix, int64_t rows, int64_t columns, int64_t first, int64_t begin,
                     int64_t count) {
  const int64_t width = std::min(kWidth<T>, rows - first);
  if (width < kWidth<T>) std::memset(tile.at, 0, count * kTile);
  for (int64_t j = 0; j < width; j += 4) {
    const T* from = matrix + (first + j) * columns + begin;
    const bool whole = j + 4 <= width;
    int64_t i = 0;
    for (; whole && i + 4 <= count; i += 4) turn(tile.row(i) + j, from + i, columns);
    for (; i < count; i++)
      for (int64_t l = 0; l < std::min<int64_t>(4, width - j); l++) tile.row(i)[j + l] = from[l * columns + i];
  }
}

// False where a dense product is faster, and y is not made.
template <typename T>
bool forward(T* y, const T* x, const T* weight, const T* bias, int64_t rows, int64_t below, int64_t above) {
  if (above < kNarrow || few_zeros(x, rows * below)) return false;
  const auto entries = Entries<T>::of_rows({x, nullptr, rows, below, 1}, kBlock);
#pragma omp parallel for schedule(static) if (rows * below * above > 8 * kAlone)
  for (int64_t first = 0; first < above; first += kWidth<T>) {
    const int64_t width = std::min(kWidth<T>, above - first);
    const Tile<T> tile(kBlock), sums(rows);
    for (int64_t n = 0; n < rows; n++) std::memcpy(sums.row(n), bias + first, width * sizeof(T));
    for (int64_t block = 0; block < entries.parts; block++) {
      const int64_t begin = block * kBlock;
      pack_transposed(tile, weight, above, below, first, begin, std::min(kBlock, below - begin));
      for (int64_t n = 0; n < rows; n++) entries.add(sums.at[n], n, block, tile.at);
    }
    for (int64_t n = 0; n < rows; n++) std::memcpy(y + n * above + first, sums.row(n), width * sizeof(T));
  }
  return true;
}

// Weights that move by v = momentum v + gradient, w -= rate v.
template <typename T> struct Moved {
  T *weight, *velocity;
  uint16_t* coarse;  // the weights in bfloat16, or null
  T rate, momentum;

  void fetch(int64_t at) const {
    for (int64_t i = 0; i < kTile; i += kLine) {  // no line more, which another thread may be writing
      __builtin_prefetch(reinterpret_cast<const char*>(velocity + at) + i, 1);
      __builtin_prefetch(reinterpret_cast<const char*>(weight + at) + i, 1);
    }
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
      moved = std::accumulate(of_units.factors(u, j), of_units.factors(u, j + 1), momentum * moved);
    }
}

// Columns of the gradient by x from `first`: sums of those rows of W that the lists of rows of g name.
template <typename T>
void by_input(T* of_x, const T* weight, const Units<T>& g, const Entries<T>& of_rows, int64_t below, int64_t first,
              int64_t together) {
  const int64_t width = std::min(kWidth<T>, below - first);
  const Tile<T> tile(together * g.pieces), sums(g.rows);
  std::memset(sums.at, 0, g.rows * kTile);
  for (int64_t block = 0; block < of_rows.parts; block++) {
    const int64_t begin = block * together, end = std::min(begin + together, g.units);
    for (int64_t j = 0; j < g.pieces; j++)
      for (int64_t u = begin; u < end; u++)
        std::memcpy(tile.row((u - begin) * g.pieces + j), weight + (j * g.units + u) * below + first,
                    width * sizeof(T));
    for (int64_t n = 0; n < g.rows; n++) of_rows.add(sums.at[n], n, block, tile.at);
  }
  for (int64_t n = 0; n < g.rows; n++) std::memcpy(of_x + n * below + first, sums.row(n), width * sizeof(T));
}

// The gradient by x of the rows from `skipped`, and the step of W by that of all rows; columns of W are read for the
// first and are in the cache for the second. False where rectifiers have few zeros, and nothing is done.
template <typename T>
bool backward(const Moved<T>& moved, T* of_bias, T* of_x, const Units<T>& g, const T* x, int64_t below,
              int64_t skipped) {
  if (!g.piece && few_zeros(g.numbers, g.rows * g.units)) return false;
  const int64_t together = std::max<int64_t>(1, kBlock / g.pieces), before = skipped * g.units;
  const Units<T> wanted{g.numbers + before, g.piece ? g.piece + before : nullptr, of_x ? g.rows - skipped : 0, g.units,
                        g.pieces};
  const auto of_rows = Entries<T>::of_rows(wanted, together), of_units = Entries<T>::of_units(g);
  move_bias(of_bias, g, of_units, moved.momentum);
#pragma omp parallel for schedule(static) if (g.rows * below * g.units > 8 * kAlone)
  for (int64_t first = 0; first < below; first += kWidth<T>) {
    if (of_x) by_input(of_x, moved.weight, wanted, of_rows, below, first, together);
    const Tile<T> tile(g.rows);
    pack(tile, x, g.rows, below, first);
    for (int64_t j = 0; j < g.pieces; j++)
      for (int64_t u = 0; u < g.units; u++) {
        const int64_t which = j * g.units + u;
        moved.fetch(std::min(which + kAhead, g.units * g.pieces - 1) * below + first);
        Sum<T> sum{};
        of_units.add(sum, u, j, tile.at);
        moved.by(reinterpret_cast<const T*>(sum.of), which * below + first, std::min(kWidth<T>, below - first));
      }
  }
  return true;
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
  bool forward_##NAME(T* y, const T* x, const T* weight, const T* bias, int64_t rows, int64_t below, int64_t above) {  \
    return forward<T>(y, x, weight, bias, rows, below, above);                                                         \
  }                                                                                                                    \
  bool backward_##NAME(T* weight, T* velocity, uint16_t* coarse, T* of_bias, T* of_x, const T* g,                      \
                       const int32_t* piece, const T* x, T rate, T momentum, int64_t rows, int64_t below,              \
                       int64_t units, int64_t pieces, int64_t skipped) {                                               \
    return backward<T>({weight, velocity, coarse, rate, momentum}, of_bias, of_x, {g, piece, rows, units, pieces}, x,  \
                       below, skipped);                                                                                \
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
