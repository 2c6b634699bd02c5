// bench/load/arrivals.h - when requests are to be sent in an open loop, and which question is asked
// next.
//
// Threading: confined to one thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <random>
#include <string_view>
#include <vector>

#include "batcher/base/enum_table.h"

namespace batchproxy::bench {

enum class Arrivals : std::uint8_t { kPoisson, kConstant, kCount };

struct ArrivalsRow {
  Arrivals id{};
  std::string_view word{};
};
inline constexpr EnumTable<ArrivalsRow> kArrivals({
    {Arrivals::kPoisson, "poisson"},
    {Arrivals::kConstant, "constant"},
});

// The moments at which requests are to be sent, `rate` a second in the mean. The first is the
// beginning. Those of a Poisson process depend on the seed and on nothing else.
class ArrivalTimes {
 public:
  ArrivalTimes(Arrivals arrivals, double rate, std::uint64_t seed)
      : arrivals_(arrivals), rate_(rate), random_(seed) {}

  // In seconds since the beginning; never less than the one before.
  double next();

 private:
  const Arrivals arrivals_;
  const double rate_;
  std::mt19937_64 random_;
  std::uint64_t given_ = 0;
  double last_ = 0;
};

// The questions in file order, again and again; mixed within windows of so many requests, always in
// the same way.
class QuestionOrder {
 public:
  struct Turn {
    std::size_t question = 0;
    std::size_t round = 0;  // how often the questions had all been asked before
  };

  // `window` of 0 or 1: file order. `most`: so many turns in all; nothing: without end.
  QuestionOrder(std::size_t questions, std::size_t window, std::optional<std::size_t> most);

  // Nothing at the end.
  std::optional<Turn> next();

 private:
  void fill();

  const std::size_t questions_;
  const std::size_t window_;
  const std::optional<std::size_t> most_;
  std::mt19937_64 random_{1};
  std::size_t planned_ = 0;
  std::vector<Turn> turns_;  // of this window, the next one last
};

}  // namespace batchproxy::bench
