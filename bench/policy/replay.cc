// bench/policy/replay.cc - see replay.h.
#include "bench/policy/replay.h"

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <unordered_map>

#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <fmt/format.h>

#include "backends/json/body_scan.h"
#include "backends/sim/api/api_render.h"
#include "backends/sim/api/api_request.h"
#include "backends/sim/api/request_fields.h"

namespace batchproxy::bench {

namespace {

// The body as it is sent, with the bytes behind it that the scanner may read.
std::string body_of(const ReadyQuestion& question, std::size_t round) {
  const std::string salt = as_first_line(fmt::format("Round {}", round));
  std::string body;
  for (const std::string_view part : question.body(salt, "")) body += part;
  body.reserve(body.size() + BodyScanner::kPadding);
  return body;
}

[[noreturn]] void refuse(const ReadyQuestion& question) {
  throw UnusableWorkload(
      fmt::format("a question asks {}: in virtual time there are only completions and chats, each "
                  "of one prompt and one answer",
                  question.path));
}

// What the simulated engine would have to compute; nothing when it refuses the question.
std::optional<sim::Work> work_of(const ReadyQuestion& question, const std::string& body,
                                 int max_model_len) {
  sim::ApiOptions options;
  options.max_model_len = max_model_len;
  const sim::Endpoint endpoint = question.chat ? sim::Endpoint::kChat : sim::Endpoint::kCompletions;
  try {
    const sim::GenerationCall call(
        sim::parse_generation(endpoint, boost::json::parse(body).as_object(), options), {},
        options);
    std::vector<sim::Work> work = call.work();
    if (work.size() != 1) refuse(question);
    return std::move(work.front());
  } catch (const sim::ApiError&) {
    return std::nullopt;
  }
}

// Gives prompts that begin alike one number.
class Passages {
 public:
  std::uint64_t of(const PrefixChain& prefix) {
    for (const std::uint64_t hash : prefix.hashes()) {
      const auto known = numbers_.find(hash);
      if (known != numbers_.end()) return learn(prefix, known->second);
    }
    return learn(prefix, ++last_);
  }

 private:
  std::uint64_t learn(const PrefixChain& prefix, std::uint64_t number) {
    for (const std::uint64_t hash : prefix.hashes()) numbers_.emplace(hash, number);
    return number;
  }

  std::unordered_map<std::uint64_t, std::uint64_t> numbers_;
  std::uint64_t last_ = 0;
};

}  // namespace

std::vector<PromptRequest> replay(std::span<const ReadyQuestion> questions, std::size_t requests,
                                  int max_model_len) {
  std::vector<PromptRequest> asked;
  asked.reserve(requests);
  BodyScanner scanner;
  Passages passages;
  for (std::size_t i = 0; i < requests && !questions.empty(); ++i) {
    const ReadyQuestion& question = questions[i % questions.size()];
    if (!question.chat && question.path != "/v1/completions") refuse(question);
    const std::string body = body_of(question, i / questions.size());
    auto work = work_of(question, body, max_model_len);
    if (!work) continue;
    const auto scan = scanner.scan(body, question.chat ? BodyKind::kChat : BodyKind::kCompletion);
    if (!scan) refuse(question);
    PromptRequest& request = asked.emplace_back();
    request.prompt_tokens = work->prompt_tokens;
    request.output_tokens = work->output_tokens;
    request.blocks = std::move(work->blocks);
    request.short_answer = scan->short_answer;
    request.prefix = PrefixChain(scan->prompt, 0);
    request.passage = passages.of(request.prefix);
  }
  if (asked.empty()) {
    throw UnusableWorkload(
        fmt::format("no question fits into a context of {} tokens with its answer", max_model_len));
  }
  return asked;
}

}  // namespace batchproxy::bench
