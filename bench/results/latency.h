// bench/results/latency.h - Latency: the times of an answer that results tell, in the words of
// `vllm bench serve`.
//
// Threading: constants, any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "batcher/base/enum_table.h"

namespace batchproxy::bench {

enum class Latency : std::uint8_t { kTtft, kTpot, kItl, kE2el, kCount };

struct LatencyRow {
  Latency id{};
  std::string_view word{};
  std::string_view title{};
};
inline constexpr EnumTable<LatencyRow> kLatencies({
    {Latency::kTtft, "ttft", "time to first token"},
    {Latency::kTpot, "tpot", "per output token behind the first"},
    {Latency::kItl, "itl", "between two tokens"},
    {Latency::kE2el, "e2el", "whole answer"},
});

constexpr std::optional<Latency> latency_of(std::string_view word) {
  for (const LatencyRow& row : kLatencies) {
    if (row.word == word) return row.id;
  }
  return std::nullopt;
}

}  // namespace batchproxy::bench
