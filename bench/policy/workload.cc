// bench/policy/workload.cc - see workload.h.
#include "bench/policy/workload.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numbers>
#include <string>
#include <utility>

#include "backends/sim/model/hardware.h"
#include "backends/sim/model/hash.h"

namespace batchproxy::bench {

namespace {

constexpr std::size_t kBytesPerToken = 4;
constexpr int kShortAnswer = 16;  // tokens

// What different texts are made from.
constexpr std::uint64_t kSystemText = 1;
constexpr std::uint64_t kPassageText = 2;
constexpr std::uint64_t kQuestionText = 3;

// Like the standard library's distributions, but equal on every machine.
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}

  double uniform() { return sim::unit_interval(state_ = sim::mix(state_, 1)); }
  int below(int limit) { return static_cast<int>(uniform() * limit); }
  double normal(double mean, double deviation) {
    const double radius = std::sqrt(-2 * std::log(1 - uniform()));
    return mean + deviation * radius * std::cos(2 * std::numbers::pi * uniform());
  }

 private:
  std::uint64_t state_;
};

struct Lengths {  // in tokens
  int system = 0;
  int passage = 0;
  int question = 0;
  int output = 0;
  int max_output = 0;
};

int tokens(double mean, double deviation, int least, Random& random) {
  return std::max(least, static_cast<int>(random.normal(mean, deviation)));
}

// Log-normal around `median` * e^-1/8, as lengths of free text are.
int answer_tokens(double median, int most, Random& random) {
  const double length = std::exp(std::log(median) + random.normal(-0.125, 0.5));
  return std::clamp(static_cast<int>(length), 1, most);
}

Lengths draw_lengths(Workload kind, bool shares, int passage_tokens, Random& random) {
  switch (kind) {
    case Workload::kChoices:
      return {300, passage_tokens, tokens(200, 40, 40, random), 1 + random.below(16), 16};
    case Workload::kOneToken:
      return {300, passage_tokens, tokens(200, 40, 40, random), 1, 1};
    case Workload::kGeneration: {
      const int passage = shares ? 500 : 0;
      const int question = tokens(700 - passage, 100, 50, random);
      return {100, passage, question, answer_tokens(150, 600, random), 600};
    }
    case Workload::kMixed:
      return draw_lengths(random.below(5) == 0 ? Workload::kGeneration : Workload::kChoices, shares,
                          passage_tokens, random);
    case Workload::kShort:
      return {96, 0, 32 + random.below(32), 1, 1};
    case Workload::kLongGeneration:
      return {100, 0, tokens(200, 60, 20, random), answer_tokens(600, 2000, random), 2000};
  }
  return {};
}

int draw_passage(int mean, Random& random) {
  if (mean == 0) return tokens(1000, 150, 300, random);
  return tokens(mean, 0.15 * mean, mean / 4, random);
}

int draw_sharing(const WorkloadOptions& options, Random& random) {
  const int spread = options.most_sharing - options.sharing;
  return spread <= 0 ? options.sharing : options.sharing + random.below(spread + 1);
}

void append_text(std::string& text, int length, std::uint64_t seed) {
  const std::size_t end = text.size() + static_cast<std::size_t>(length) * kBytesPerToken;
  for (std::uint64_t piece = 0; text.size() < end; ++piece) {
    const std::uint64_t bits = sim::mix(seed, piece);
    char bytes[sizeof bits];
    std::memcpy(bytes, &bits, sizeof bits);
    text.append(bytes, std::min(sizeof bytes, end - text.size()));
  }
}

// The blocks that lie wholly within the system prompt and, if others share it, the passage.
std::vector<sim::BlockHash> shared_blocks(const Lengths& lengths, bool passage_is_shared,
                                          std::uint64_t passage) {
  const auto system_length = static_cast<std::uint64_t>(lengths.system);
  const std::uint64_t system_text = sim::mix(kSystemText, system_length);
  const std::uint64_t passage_text = sim::mix(sim::mix(kPassageText, passage), system_length);
  const int in_system = lengths.system / sim::kKvBlockTokens;
  const int in_both = (lengths.system + lengths.passage) / sim::kKvBlockTokens;
  std::vector<sim::BlockHash> blocks;
  for (int i = 0; i < (passage_is_shared ? in_both : in_system); ++i) {
    blocks.push_back(
        sim::mix(i < in_system ? system_text : passage_text, static_cast<std::uint64_t>(i)));
  }
  return blocks;
}

void shuffle_in_windows(std::vector<PromptRequest>& requests, std::size_t window, Random& random) {
  for (std::size_t begin = 0; begin < requests.size(); begin += window) {
    for (std::size_t i = std::min(window, requests.size() - begin); i > 1; --i) {
      std::swap(requests[begin + i - 1],
                requests[begin + static_cast<std::size_t>(random.below(static_cast<int>(i)))]);
    }
  }
}

// Two jobs at a time, in turn; they share nothing with each other but the system prompt.
std::vector<PromptRequest> interleave(WorkloadOptions options) {
  constexpr std::uint64_t kOtherPassages = std::uint64_t{1} << 32;
  options.count /= 2;
  const Workload other = *std::exchange(options.beside, std::nullopt);
  std::vector<PromptRequest> one = make_requests(options);
  options.kind = other;
  ++options.seed;
  options.first_passage = kOtherPassages;
  std::vector<PromptRequest> two = make_requests(options);
  std::vector<PromptRequest> both;
  for (std::size_t i = 0; i < one.size(); ++i) {
    both.push_back(std::move(one[i]));
    both.push_back(std::move(two[i]));
  }
  return both;
}

}  // namespace

std::string_view name_of(Workload workload) {
  switch (workload) {
    case Workload::kChoices:
      return "mcqa";
    case Workload::kOneToken:
      return "mcqa1";
    case Workload::kGeneration:
      return "gen";
    case Workload::kMixed:
      return "mix";
    case Workload::kShort:
      return "tiny";
    case Workload::kLongGeneration:
      return "long";
  }
  return "";
}

std::vector<PromptRequest> make_requests(const WorkloadOptions& options) {
  if (options.beside) return interleave(options);
  Random random(sim::mix(options.seed, static_cast<std::uint64_t>(options.kind)));
  std::vector<PromptRequest> requests(options.count);
  std::uint64_t passage = 0;
  int passage_tokens = 0;
  int left = 0;  // requests of this passage
  std::string prompt;
  for (std::size_t i = 0; i < options.count; ++i, --left) {
    PromptRequest& request = requests[i];
    if (left == 0) {
      left = draw_sharing(options, random);
      passage_tokens = draw_passage(options.passage_tokens, random);
      ++passage;
    }
    request.passage = options.first_passage + passage - 1;
    Lengths lengths = draw_lengths(options.kind, options.shares(), passage_tokens, random);
    if (options.output_tokens > 0) lengths.output = lengths.max_output = options.output_tokens;
    request.prompt_tokens = lengths.system + lengths.passage + lengths.question;
    request.output_tokens = lengths.output;
    request.short_answer = lengths.max_output <= kShortAnswer;
    request.blocks = shared_blocks(lengths, options.shares(), request.passage);
    prompt.clear();
    append_text(prompt, lengths.system, sim::mix(kSystemText, 0));
    append_text(prompt, lengths.passage, sim::mix(kPassageText, request.passage));
    append_text(prompt, lengths.question, sim::mix(kQuestionText, i));
    request.prefix = PrefixChain(prompt, 0);
  }
  if (options.shares()) shuffle_in_windows(requests, options.window, random);
  return requests;
}

}  // namespace batchproxy::bench
