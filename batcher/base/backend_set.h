// batcher/base/backend_set.h - BackendId: which backend; BackendSet: some of them.
//
// A set is a few words of bits: it is copied with every ticket, and asked and joined on the way of
// every request, without an allocation. A walk over it (`for (const BackendId id : set)`) costs as
// much as it has members.
//
// Threading: values.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <iterator>

namespace batchproxy {

// The number of a backend, from 0 to BackendSet::kMax - 1. It keeps its number while it stays;
// another may have it after that.
using BackendId = std::uint32_t;

class BackendSet {
 public:
  static constexpr std::size_t kMax = 256;

  constexpr BackendSet() = default;
  // The backends from 0 to n - 1.
  static constexpr BackendSet first(std::size_t n) {
    BackendSet set;
    for (Word& word : set.words_) {
      word = n >= kBits ? ~Word{0} : (Word{1} << n) - 1;
      n -= std::min(n, kBits);
    }
    return set;
  }

  constexpr void insert(BackendId id) { words_[id / kBits] |= bit(id); }
  constexpr void erase(BackendId id) { words_[id / kBits] &= ~bit(id); }
  constexpr bool contains(BackendId id) const { return (words_[id / kBits] & bit(id)) != 0; }
  constexpr bool empty() const {
    Word any = 0;
    for (const Word word : words_) any |= word;
    return any == 0;
  }
  constexpr std::size_t size() const {
    std::size_t sum = 0;
    for (const Word word : words_) sum += static_cast<std::size_t>(std::popcount(word));
    return sum;
  }

  constexpr BackendSet& operator&=(const BackendSet& other) {
    for (std::size_t i = 0; i < words_.size(); ++i) words_[i] &= other.words_[i];
    return *this;
  }
  constexpr BackendSet& operator|=(const BackendSet& other) {
    for (std::size_t i = 0; i < words_.size(); ++i) words_[i] |= other.words_[i];
    return *this;
  }
  constexpr BackendSet& operator-=(const BackendSet& other) {
    for (std::size_t i = 0; i < words_.size(); ++i) words_[i] &= ~other.words_[i];
    return *this;
  }
  friend constexpr BackendSet operator&(BackendSet a, const BackendSet& b) { return a &= b; }
  friend constexpr BackendSet operator|(BackendSet a, const BackendSet& b) { return a |= b; }
  friend constexpr BackendSet operator-(BackendSet a, const BackendSet& b) { return a -= b; }
  // Word by word: the array's own comparison calls memcmp(), which costs more than all of these.
  friend constexpr bool operator==(const BackendSet& a, const BackendSet& b) {
    Word differs = 0;
    for (std::size_t i = 0; i < a.words_.size(); ++i) differs |= a.words_[i] ^ b.words_[i];
    return differs == 0;
  }

  class Iterator;
  // In order. What was passed may be erased meanwhile.
  constexpr Iterator begin() const;
  constexpr std::default_sentinel_t end() const { return {}; }

 private:
  using Word = std::uint64_t;
  static constexpr std::size_t kBits = 64;  // in a word
  static constexpr Word bit(BackendId id) { return Word{1} << id % kBits; }

  std::array<Word, kMax / kBits> words_{};
};

class BackendSet::Iterator {
 public:
  using value_type = BackendId;
  using difference_type = std::ptrdiff_t;

  constexpr explicit Iterator(const BackendSet& of) : word_(of.words_.data()), left_(*word_) {
    skip();
  }

  constexpr BackendId operator*() const {
    return first_ + static_cast<BackendId>(std::countr_zero(left_));
  }
  constexpr Iterator& operator++() {
    left_ &= left_ - 1;
    skip();
    return *this;
  }
  constexpr void operator++(int) { ++*this; }
  friend constexpr bool operator==(const Iterator& at, std::default_sentinel_t) {
    return at.left_ == 0;
  }

 private:
  constexpr void skip() {
    while (left_ == 0 && first_ + kBits < kMax) {
      left_ = *++word_;
      first_ += kBits;
    }
  }

  const Word* word_;
  Word left_;            // its members that are not passed yet
  BackendId first_ = 0;  // that it could hold
};

constexpr BackendSet::Iterator BackendSet::begin() const {
  return Iterator(*this);
}

}  // namespace batchproxy
