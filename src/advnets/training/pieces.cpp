// Dropout, a maxout layer h[n, u] = max_j y[n, j, u], y = x W' + b, its gradients, and steps of momentum. Of the pieces
// of a unit only the largest has a gradient, so one product in `pieces` is made; a dense one makes all, most of zeros.
//
// x: rows x below, y: rows x pieces x units, g: rows x units (the gradient by h), piece: rows x units (the largest j),
// W, its velocity, its copy in bfloat16: pieces x units x below, b's velocity: pieces x units; all contiguous.
// kernels.py compiles this file and calls what stands in extern "C".

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <new>
#include <numeric>
#include <vector>

namespace {

#if defined(__AVX512F__)
constexpr int kRegister = 64;  // bytes
#elif defined(__AVX__)
constexpr int kRegister = 32;
#else
constexpr int kRegister = 16;
#endif
constexpr int kTile = 256;  // bytes of a row that are worked on together: they stay in registers
constexpr int64_t kUnits = 64, kRows = 128;  // units or rows between two looks for work
constexpr int64_t kAlone = 1 << 16;          // numbers that one thread is done with before it has woken another

template <typename T> struct Tile {
  typedef T Vector __attribute__((vector_size(kRegister)));
  static constexpr int kVectors = kTile / kRegister;
  static constexpr int64_t kWidth = kTile / sizeof(T);

  // The columns from `first` of a matrix, zero beyond its last.
  Tile(const T* matrix, int64_t rows, int64_t columns, int64_t first)
      : at(static_cast<Vector*>(::operator new(rows * kTile, std::align_val_t(64)))) {
    const int64_t width = std::min(kWidth, columns - first);
    for (int64_t row = 0; row < rows; row++) {
      T* to = reinterpret_cast<T*>(at + row * kVectors);
      std::memcpy(to, matrix + row * columns + first, width * sizeof(T));
      std::fill(to + width, to + kWidth, T(0));
    }
  }
  ~Tile() { ::operator delete(at, std::align_val_t(64)); }
  Tile(const Tile&) = delete;
  Tile& operator=(const Tile&) = delete;

  Vector* at;
};

template <typename T> struct Sum {
  typename Tile<T>::Vector of[Tile<T>::kVectors] = {};

  void add(T factor, const typename Tile<T>::Vector* row) {
#pragma GCC unroll 16
    for (int i = 0; i < Tile<T>::kVectors; i++) of[i] += factor * row[i];
  }
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

// Rows of the minibatch by the piece that was largest in them, for every unit: those of piece j of unit u stand from
// begin[u, j] to begin[u, j + 1] of the unit's part of `row`, with their gradients in `factor`.
template <typename T> struct ByPiece {
  ByPiece(const T* g, const int32_t* piece, int64_t rows, int64_t units, int64_t pieces)
      : row(rows * units), begin(units * (pieces + 1)), factor(rows * units) {
#pragma omp parallel for schedule(static) if (rows * units > kAlone / 4)
    for (int64_t first = 0; first < units; first += kUnits) {
      const int64_t last = std::min(first + kUnits, units);
      for (int64_t n = 0; n < rows; n++)
        for (int64_t u = first; u < last; u++) begin[u * (pieces + 1) + piece[n * units + u] + 1]++;
      for (int64_t u = first; u < last; u++)
        for (int64_t j = 0; j < pieces; j++) begin[u * (pieces + 1) + j + 1] += begin[u * (pieces + 1) + j];
      std::vector<int32_t> next(begin.begin() + first * (pieces + 1), begin.begin() + last * (pieces + 1));
      for (int64_t n = 0; n < rows; n++)
        for (int64_t u = first; u < last; u++) {
          const int32_t place = next[(u - first) * (pieces + 1) + piece[n * units + u]]++;
          row[u * rows + place] = static_cast<int32_t>(n);
          factor[u * rows + place] = g[n * units + u];
        }
    }
  }
  std::vector<int32_t> row, begin;
  std::vector<T> factor;
};

// Weights that move by v = momentum v + gradient, w -= rate v.
template <typename T> struct Moved {
  T *weight, *velocity;
  uint16_t* coarse;  // the weights in bfloat16, or null
  T rate, momentum;

  void fetch(int64_t at) const {
    for (int64_t i = 0; i <= kTile; i += 64) {
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

template <typename T>
void by_weight(const Moved<T> moved, T* of_bias, const T* g, const int32_t* piece, const T* x, int64_t rows,
               int64_t below, int64_t units, int64_t pieces) {
  const ByPiece<T> sorted(g, piece, rows, units, pieces);
#pragma omp parallel for collapse(2) schedule(dynamic) if (rows * units * below > 8 * kAlone)
  for (int64_t first = 0; first < below; first += Tile<T>::kWidth)
    for (int64_t begin = 0; begin < units; begin += kUnits) {
      const Tile<T> tile(x, rows, below, first);
      const int64_t width = std::min(Tile<T>::kWidth, below - first);
      for (int64_t u = begin; u < std::min(begin + kUnits, units); u++)
        for (int64_t j = 0; j < pieces; j++) {
          const int64_t at = (j * units + u) * below + first;
          moved.fetch(at);
          const int32_t from = sorted.begin[u * (pieces + 1) + j], to = sorted.begin[u * (pieces + 1) + j + 1];
          const int32_t* row = &sorted.row[u * rows];
          const T* factor = &sorted.factor[u * rows];
          Sum<T> even, odd;  // two, since an addition takes longer than a load
          int32_t i = from;
          for (; i + 1 < to; i += 2) {
            even.add(factor[i], tile.at + row[i] * Tile<T>::kVectors);
            odd.add(factor[i + 1], tile.at + row[i + 1] * Tile<T>::kVectors);
          }
          if (i < to) even.add(factor[i], tile.at + row[i] * Tile<T>::kVectors);
          odd.add(T(1), even.of);
          moved.by(reinterpret_cast<const T*>(odd.of), at, width);
          if (first == 0)
            of_bias[j * units + u] =
                std::accumulate(factor + from, factor + to, moved.momentum * of_bias[j * units + u]);
        }
    }
}

template <typename T>
void by_input(T* of_x, const T* weight, const T* g, const int32_t* piece, int64_t rows, int64_t below, int64_t units,
              int64_t pieces) {
#pragma omp parallel for collapse(2) schedule(dynamic) if (rows * units * below > 8 * kAlone)
  for (int64_t first = 0; first < below; first += Tile<T>::kWidth)
    for (int64_t begin = 0; begin < rows; begin += kRows) {
      const Tile<T> tile(weight, pieces * units, below, first);
      const int64_t width = std::min(Tile<T>::kWidth, below - first);
      for (int64_t n = begin; n < std::min(begin + kRows, rows); n++) {
        Sum<T> sum;
        for (int64_t u = 0; u < units; u++)
          sum.add(g[n * units + u], tile.at + (piece[n * units + u] * units + u) * Tile<T>::kVectors);
        std::memcpy(of_x + n * below + first, sum.of, width * sizeof(T));
      }
    }
}

// A step of momentum by a dense gradient in bfloat16.
void dense(const Moved<float> moved, const uint16_t* gradient, int64_t count) {
  constexpr int64_t kWidth = Tile<float>::kWidth;
#pragma omp parallel for schedule(static) if (count > kAlone)
  for (int64_t first = 0; first < count; first += kWidth) {
    float exact[kWidth];
    const int64_t width = std::min(kWidth, count - first);
    for (int64_t i = 0; i < width; i++) exact[i] = number(gradient[first + i]);
    moved.by(exact, first, width);
  }
}

}  // namespace

#define BACKWARD(T, NAME)                                                                                              \
  void by_weight_##NAME(T* weight, T* velocity, uint16_t* coarse, T* of_bias, const T* g, const int32_t* piece,        \
                        const T* x, T rate, T momentum, int64_t rows, int64_t below, int64_t units, int64_t pieces) {  \
    by_weight<T>({weight, velocity, coarse, rate, momentum}, of_bias, g, piece, x, rows, below, units, pieces);        \
  }                                                                                                                    \
  void by_input_##NAME(T* of_x, const T* weight, const T* g, const int32_t* piece, int64_t rows, int64_t below,        \
                       int64_t units, int64_t pieces) {                                                                \
    by_input<T>(of_x, weight, g, piece, rows, below, units, pieces);                                                   \
  }

#define FORWARD(T, NAME, SCALE)                                                                                        \
  void masked_##NAME(T* kept, const T* x, const int16_t* numbers, SCALE scale, int64_t count, int64_t threshold) {     \
    masked<T, SCALE>(kept, x, numbers, scale, count, static_cast<int16_t>(threshold));                                 \
  }                                                                                                                    \
  void largest_##NAME(T* h, int32_t* piece, const T* y, int64_t rows, int64_t units, int64_t pieces) {                 \
    largest<T>(h, piece, y, rows, units, pieces);                                                                      \
  }

extern "C" {
FORWARD(float, float32, float)
FORWARD(double, float64, double)
FORWARD(uint16_t, bfloat16, float)
BACKWARD(float, float32)
BACKWARD(double, float64)
void dense_float32(float* weight, float* velocity, uint16_t* coarse, const uint16_t* gradient, float rate,
                   float momentum, int64_t count) {
  dense({weight, velocity, coarse, rate, momentum}, gradient, count);
}
}
