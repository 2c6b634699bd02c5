// bench/results/request_result.h - RequestResult: what came of one request of a load run.
//
// Threading: a value, any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace batchproxy::bench {

// Whether an answer chose the option that the file says is right.
enum class Mark : std::uint8_t { kNone, kRight, kWrong };

// Whether an answer was to the request that was sent.
enum class IdCheck : std::uint8_t { kNone, kSame, kOther };

// All times are in seconds since the run began.
struct RequestResult {
  std::size_t question = 0;  // its number in the workload, from 0
  std::size_t round = 0;     // how often the questions had all been asked before
  double due = 0;            // when it was to be sent; latencies count from here
  double sent = 0;           // when it was sent
  double first = 0;          // the first token of a stream; 0: it was none
  double end = 0;            // the last byte
  unsigned status = 0;       // of the answer; 0: there is none
  std::string problem{};     // a word such as "503 no_backend" or "refused"; empty: answered
  std::string detail{};      // the same as a sentence
  std::string answer{};      // its text
  std::string backend{};     // that the proxy names
  std::int64_t prompt_tokens = 0;
  std::int64_t output_tokens = 0;
  std::vector<float> gaps{};  // between the tokens of a stream
  Mark mark = Mark::kNone;
  IdCheck id = IdCheck::kNone;

  bool answered() const { return problem.empty(); }
  bool streamed() const { return first > 0; }
  double e2el() const { return end - due; }
  double ttft() const { return first - due; }
  // Seconds for each token behind the first.
  double tpot() const { return (end - first) / static_cast<double>(output_tokens - 1); }
  bool has_tpot() const { return streamed() && output_tokens > 1; }
};

}  // namespace batchproxy::bench
