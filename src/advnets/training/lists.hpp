// Lists of the numbers of a matrix that are not zero, and sums of the rows that they name: `sparse.cpp` makes of them
// the products of matrices with many zeros. And dense sums of the same tiles, for rows that have few.

#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>
#include <new>
#include <type_traits>
#include <vector>

#ifdef _OPENMP
#include <omp.h>
#endif
#ifdef __AVX2__
#include <immintrin.h>
#endif

namespace {

#if defined(__AVX512F__)
constexpr int64_t kRegister = 64;  // bytes
#elif defined(__AVX__)
constexpr int64_t kRegister = 32;
#else
constexpr int64_t kRegister = 16;
#endif
constexpr int64_t kTile = std::min<int64_t>(256, 8 * kRegister);  // bytes of a row that are summed in registers
constexpr int64_t kBlock = 32768 / kTile;  // rows of a tile that stay near, beside lists and sums
constexpr int64_t kLine = 64;              // bytes of a cache line
constexpr int64_t kAlone = 1 << 16;        // numbers that one thread is done with before it has woken another

template <typename T> constexpr int64_t kWidth = kTile / sizeof(T);

#if defined(__has_builtin)
#if __has_builtin(__builtin_shufflevector)
#define SHUFFLES
#endif
#endif

// kTile bytes of a row, in registers where the compiler can.
template <typename T> struct Sum {
  typedef T Vector __attribute__((vector_size(kRegister)));
  static constexpr int kVectors = kTile / kRegister;
  Vector of[kVectors];

  // The first `some` vectors of a row.
  template <int some = kVectors> void add(T factor, const Vector* row) {
#pragma GCC unroll 8
    for (int i = 0; i < some; i++) of[i] += factor * row[i];
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

// Numbers by units, of which each stands for that piece of its unit that is named beside it; without names there is one.
template <typename T> struct Units {
  const T* numbers;
  const int32_t* piece;
  int64_t rows, units, pieces;
};

// A number that is not zero, and the row of a tile that it multiplies.
template <typename T> struct Entry {
  int32_t row;
  T factor;
};

// What two loads would get, by one where it fits: loads are what a sum waits for.
template <typename T> Entry<T> loaded(const Entry<T>* from) {
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
  if constexpr (sizeof(T) == 4) {
    uint64_t both;
    std::memcpy(&both, from, sizeof both);
    const uint32_t upper = both >> 32;
    Entry<T> found{static_cast<int32_t>(both), T(0)};
    std::memcpy(&found.factor, &upper, sizeof upper);
    return found;
  }
#endif
  return *from;
}

#ifdef __AVX2__
// For each set of eight numbers, where to take those that are in it from: for the places 0, 1, 4, 5, 2, 3, 6 and 7, so
// that to interleave two registers makes pairs of them in their order.
struct Places {
  int32_t of[256][8];
  constexpr Places() : of() {
    constexpr int order[] = {0, 1, 4, 5, 2, 3, 6, 7};
    for (int set = 0; set < 256; set++)
      for (int one = 0, next = 0; one < 8; one++)
        if (set >> one & 1) of[set][order[next++]] = one;
  }
};
alignas(kLine) constexpr Places kPlaces;

// Writes the entries of eight numbers from `at` on, the units `u` and so on of a part; tells where the next goes.
inline Entry<float>* packed(Entry<float>* to, const Units<float>& x, int64_t at, int64_t u) {
  const __m256 numbers = _mm256_loadu_ps(x.numbers + at);
  const int set = _mm256_movemask_ps(_mm256_cmp_ps(numbers, _mm256_setzero_ps(), _CMP_NEQ_UQ));
  const __m256i places = _mm256_load_si256(reinterpret_cast<const __m256i*>(kPlaces.of[set]));
  __m256i rows = _mm256_add_epi32(places, _mm256_set1_epi32(u));
  if (x.piece) {
    const __m256i piece = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(x.piece + at));
    rows = _mm256_add_epi32(_mm256_mullo_epi32(rows, _mm256_set1_epi32(x.pieces)),
                            _mm256_permutevar8x32_epi32(piece, places));
  }
  const __m256i factors = _mm256_castps_si256(_mm256_permutevar8x32_ps(numbers, places));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), _mm256_unpacklo_epi32(rows, factors));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + 4), _mm256_unpackhi_epi32(rows, factors));
  return to + __builtin_popcount(set);
}
#endif

// Lists of such entries. A list has parts, which follow one another.
template <typename T> struct Entries {
  Entries(int64_t lists, int64_t parts, int64_t most)
      : parts(parts), entry(new Entry<T>[most + kSpare]), bounds(new int64_t[lists * (parts + 1)]) {}

  // A list for each row, whose parts are blocks of `together` units. What is zero is written too, and over it what
  // comes next, for a branch would take longer.
  static Entries of_rows(const Units<T>& x, int64_t together) {
    Entries made(x.rows, (x.units + together - 1) / together, x.rows * x.units);
#pragma omp parallel for schedule(static) if (x.rows * x.units > kAlone / 4)
    for (int64_t n = 0; n < x.rows; n++) {
      Entry<T>* next = &made.entry[n * x.units];
      for (int64_t part = 0; part < made.parts; part++) {
        made.begin(n, part) = next - made.entry.get();
        const int64_t first = part * together, at = n * x.units + first, count = std::min(together, x.units - first);
        int64_t u = 0;
#ifdef __AVX2__
        if constexpr (std::is_same_v<T, float>)
          for (; u + 8 <= count; u += 8) next = packed(next, x, at + u, u);
#endif
        for (; u < count; u++) {
          const T number = x.numbers[at + u];
          *next = {static_cast<int32_t>(x.piece ? u * x.pieces + x.piece[at + u] : u), number};
          next += number != T(0);
        }
      }
      made.begin(n, made.parts) = next - made.entry.get();
    }
    return made;
  }

  // The lists of columns, of one part each, from those of `rows` rows: for each row of each part's tile of `height`
  // rows, where it is named; `lists` in all.
  Entries turned(int64_t rows, int64_t height, int64_t lists) const {
    int64_t count = 0;
    for (int64_t n = 0; n < rows; n++) count += begin(n, parts) - begin(n, 0);
    Entries made(1, lists, count);
    std::fill(&made.bounds[0], &made.bounds[lists + 1], 0);
#pragma omp parallel for schedule(static) if (count > kAlone / 4)
    for (int64_t part = 0; part < parts; part++)
      for (int64_t n = 0; n < rows; n++)
        for (int64_t i = begin(n, part); i < begin(n, part + 1); i++) made.bounds[part * height + entry[i].row + 1]++;
    for (int64_t list = 0; list < lists; list++) made.bounds[list + 1] += made.bounds[list];
#pragma omp parallel for schedule(static) if (count > kAlone / 4)
    for (int64_t part = 0; part < parts; part++) {
      const int64_t first = part * height, last = std::min(first + height, lists);
      for (int64_t i = made.bounds[first]; i < made.bounds[last]; i += kLine / sizeof(Entry<T>))
        __builtin_prefetch(&made.entry[i], 1);  // all at once, for they are filled a little each
      std::vector<int64_t> next(&made.bounds[first], &made.bounds[last]);
      for (int64_t n = 0; n < rows; n++)
        for (int64_t i = begin(n, part); i < begin(n, part + 1); i++)
          made.entry[next[entry[i].row]++] = {static_cast<int32_t>(n), entry[i].factor};
    }
    std::fill(&made.entry[count], &made.entry[count + kSpare], Entry<T>{0, T(0)});
    return made;
  }

  int64_t& begin(int64_t list, int64_t part) const { return bounds[list * (parts + 1) + part]; }

  // Adds to `width` numbers of a sum, and maybe to more.
  void add(Sum<T>& sum, int64_t list, int64_t part, const Sum<T>* tile, int64_t width) const {
    const Entry<T>*from = &entry[begin(list, part)], *to = &entry[begin(list, part + 1)];
    constexpr int kAll = Sum<T>::kVectors, kHalf = std::max(1, kAll / 2), kQuarter = std::max(1, kAll / 4);
    if (4 * width <= kWidth<T>)
      add_some<kQuarter>(sum, from, to, tile);
    else if (2 * width <= kWidth<T>)
      add_some<kHalf>(sum, from, to, tile);
    else
      add_some<kAll>(sum, from, to, tile);
  }

  template <int some>
  static void add_some(Sum<T>& sum, const Entry<T>* from, const Entry<T>* to, const Sum<T>* tile) {
    Sum<T> in_registers = sum;
    if constexpr (some <= 4) {  // two sums at a time, since an addition takes longer than a load
      Sum<T> other{};
      for (; from + 1 < to; from += 2) {
        const Entry<T> one = loaded(from), next = loaded(from + 1);
        in_registers.template add<some>(one.factor, tile[one.row].of);
        other.template add<some>(next.factor, tile[next.row].of);
      }
      in_registers.template add<some>(T(1), other.of);
    }
    for (; from < to; from++) {
      const Entry<T> one = loaded(from);
      in_registers.template add<some>(one.factor, tile[one.row].of);
    }
    sum = in_registers;
  }

  static constexpr int64_t kSpare = 4;  // beyond the last, for those who read four at a time
  int64_t parts;
  std::unique_ptr<Entry<T>[]> entry;
  std::unique_ptr<int64_t[]> bounds;
};

constexpr int kTogether = 3, kBeside = 4;  // rows whose sums are in registers together, and vectors of each

// Adds to the sums of rows of x what `count` of its columns make of the rows of a tile, of `width` numbers.
template <int rows, typename T>
void add_rows(Sum<T>* sums, const T* x, int64_t columns, int64_t count, const Sum<T>* tile, int64_t width) {
  typedef typename Sum<T>::Vector Vector;
  for (int64_t from = 0; from * kRegister < width * int64_t(sizeof(T)); from += kBeside) {
    Vector in_registers[rows][kBeside];
    for (int n = 0; n < rows; n++)
      for (int i = 0; i < kBeside; i++) in_registers[n][i] = sums[n].of[from + i];
    for (int64_t column = 0; column < count; column++) {
      const Vector* row = tile[column].of + from;
#pragma GCC unroll 4
      for (int n = 0; n < rows; n++)
#pragma GCC unroll 4
        for (int i = 0; i < kBeside; i++) in_registers[n][i] += x[n * columns + column] * row[i];
    }
    for (int n = 0; n < rows; n++)
      for (int i = 0; i < kBeside; i++) sums[n].of[from + i] = in_registers[n][i];
  }
}

// The same for up to kTogether rows.
template <typename T>
void add_dense(Sum<T>* sums, const T* x, int64_t rows, int64_t columns, int64_t count, const Sum<T>* tile,
               int64_t width) {
  static_assert(Sum<T>::kVectors % kBeside == 0 && kTogether == 3);
  if (rows == 1) return add_rows<1>(sums, x, columns, count, tile, width);
  if (rows == 2) return add_rows<2>(sums, x, columns, count, tile, width);
  add_rows<3>(sums, x, columns, count, tile, width);
}

// Of so many columns, how many a thread takes: whole lines of the cache.
template <typename T> int64_t share(int64_t columns) {
  constexpr int64_t kTogether = kLine / sizeof(T);
#ifdef _OPENMP
  const int64_t threads = omp_get_max_threads();
#else
  const int64_t threads = 1;
#endif
  return (columns + threads * kTogether - 1) / (threads * kTogether) * kTogether;
}

// `width` columns of a matrix from `first`.
template <typename T>
void pack(Sum<T>* tile, const T* matrix, int64_t rows, int64_t columns, int64_t first, int64_t width) {
  if (width < kWidth<T>) std::memset(tile, 0, rows * kTile);
  for (int64_t n = 0; n < rows; n++) std::memcpy(tile + n, matrix + n * columns + first, width * sizeof(T));
}

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

// Columns [begin, begin + count) of `width` rows of a matrix from `first`, as rows of a tile.
template <typename T>
void pack_transposed(const Tile<T>& tile, const T* matrix, int64_t columns, int64_t first, int64_t width, int64_t begin,
                     int64_t count) {
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

// Dots of a row of kTile bytes with four rows of a tile at a time.
template <typename T> struct Dots {
  static constexpr int64_t kBytes = std::max<int64_t>(kRegister, 4 * sizeof(T));
  static constexpr int64_t kVectors = kTile / kBytes, kParts = kBytes / (4 * sizeof(T));
  typedef T Vector __attribute__((vector_size(kBytes)));
  typedef T Four __attribute__((vector_size(4 * sizeof(T))));
  struct Row {
    Vector of[kVectors];
  };

  static Four folded(const Vector& wide) {
    Four part[kParts];
    std::memcpy(part, &wide, sizeof part);
    for (int i = 1; i < kParts; i++) part[0] += part[i];
    return part[0];
  }

  static Four sums(const Four& a, const Four& b, const Four& c, const Four& d) {
#ifdef SHUFFLES
    const Four ab = __builtin_shufflevector(a, b, 0, 4, 1, 5) + __builtin_shufflevector(a, b, 2, 6, 3, 7);
    const Four cd = __builtin_shufflevector(c, d, 0, 4, 1, 5) + __builtin_shufflevector(c, d, 2, 6, 3, 7);
    return __builtin_shufflevector(ab, cd, 0, 1, 4, 5) + __builtin_shufflevector(ab, cd, 2, 3, 6, 7);
#else
    return Four{a[0] + a[1] + a[2] + a[3], b[0] + b[1] + b[2] + b[3], c[0] + c[1] + c[2] + c[3], d[0] + d[1] + d[2] + d[3]};
#endif
  }

  // Adds to to[i] the dot with that row which entry[i] names, i < count.
  static void add(T* to, const Row& row, const Row* tile, const Entry<T>* entry, int64_t count) {
    for (; count > 0; count -= 4, to += 4, entry += 4) {
      const Vector *one = tile[entry[0].row].of, *two = tile[entry[1].row].of, *three = tile[entry[2].row].of,
                   *four = tile[entry[3].row].of;
      Vector a{}, b{}, c{}, d{};
#pragma GCC unroll 16
      for (int i = 0; i < kVectors; i++) {
        a += row.of[i] * one[i];
        b += row.of[i] * two[i];
        c += row.of[i] * three[i];
        d += row.of[i] * four[i];
      }
      const Four found = sums(folded(a), folded(b), folded(c), folded(d));
      for (int i = 0; i < std::min<int64_t>(4, count); i++) to[i] += found[i];
    }
  }
};

}  // namespace
