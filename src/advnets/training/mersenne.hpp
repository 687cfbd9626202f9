// torch's random numbers on a processor, those of the Mersenne twister of 1998, several at a time.

#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>

namespace {

// What torch.Generator.get_state() begins with.
struct State {
  uint64_t seed;
  int32_t left, seeded;  // `left` − 1 words have not been passed on
  uint64_t next, words[624];
};

constexpr int kWords = 624, kMiddle = 397;

uint32_t twisted(uint32_t far, uint32_t one, uint32_t after) {
  const uint32_t mixed = (one & 0x80000000u) | (after & 0x7fffffffu);
  return far ^ (mixed >> 1) ^ (-(after & 1) & 0x9908b0dfu);
}

void twist(uint32_t* words) {
  for (int i = 0; i < kWords - kMiddle; i++) words[i] = twisted(words[i + kMiddle], words[i], words[i + 1]);
  for (int i = kWords - kMiddle; i < kWords - 1; i++)
    words[i] = twisted(words[i + kMiddle - kWords], words[i], words[i + 1]);
  words[kWords - 1] = twisted(words[kMiddle - 1], words[kWords - 1], words[0]);
}

void temper(uint32_t* to, const uint32_t* words, int64_t count) {
  for (int64_t i = 0; i < count; i++) {
    uint32_t word = words[i];
    word ^= word >> 11;
    word ^= (word << 7) & 0x9d2c5680u;
    word ^= (word << 15) & 0xefc60000u;
    to[i] = word ^ (word >> 18);
  }
}

// The next `count` numbers of 64 bits, the higher 32 drawn first; `bytes` become what the generator's state then is.
void draw(uint8_t* bytes, uint64_t* to, int64_t count) {
  constexpr int64_t kTurn = 512;
  State state;
  uint32_t words[kWords], drawn[2 * kTurn];
  std::memcpy(&state, bytes, sizeof state);
  std::copy(state.words, state.words + kWords, words);
  for (int64_t turn = 0; turn < count; turn += kTurn) {
    const int64_t numbers = std::min(kTurn, count - turn);
    for (int64_t made = 0; made < 2 * numbers;) {
      if (state.left == 1) {
        twist(words);
        state.left = kWords + 1;
        state.next = 0;
      }
      const int64_t some = std::min<int64_t>(2 * numbers - made, state.left - 1);
      temper(drawn + made, words + state.next, some);
      made += some;
      state.left -= some;
      state.next += some;
    }
    for (int64_t i = 0; i < numbers; i++) to[turn + i] = static_cast<uint64_t>(drawn[2 * i]) << 32 | drawn[2 * i + 1];
  }
  std::copy(words, words + kWords, state.words);
  std::memcpy(bytes, &state, sizeof state);
}

}  // namespace
