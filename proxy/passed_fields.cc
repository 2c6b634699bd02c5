// proxy/passed_fields.cc - see passed_fields.h.
#include "proxy/passed_fields.h"

#include <algorithm>
#include <array>
#include <string_view>

namespace batchproxy {

namespace {

constexpr std::array<std::string_view, 13> kOfClients = {
    "content-type", "content-encoding", "accept", "accept-encoding",
    // who traces what
    "traceparent", "tracestate", "baggage",
    // what vLLM reads
    "x-vllm-priority", "x-session-id", "x-data-parallel-rank", "endpoint-load-metrics-format",
    // what Anthropic's clients send
    "anthropic-version", "anthropic-beta"};

constexpr std::array<std::string_view, 6> kOfBackends = {
    "metadata",  // how the bytes of vLLM's `encoding_format: bytes` are to be read
    "location",       "endpoint-load-metrics", "x-ratelimit-*", "openai-processing-ms",
    "x-inference-pod"};

// An answer has these anyway.
constexpr std::array<std::string_view, 5> kInAnswerHead = {
    "content-type", "content-encoding", "retry-after", "retry-after-ms", "x-should-retry"};

template <std::size_t n>
std::vector<std::string> with(const std::array<std::string_view, n>& names,
                              const std::vector<std::string>& more) {
  std::vector<std::string> all(names.begin(), names.end());
  all.insert(all.end(), more.begin(), more.end());
  return all;
}

std::vector<std::string> of_answers(std::vector<std::string> names) {
  std::erase_if(names, [](const std::string& name) {
    return std::ranges::any_of(kInAnswerHead,
                               [&](std::string_view known) { return http::iequals(name, known); });
  });
  return names;
}

}  // namespace

PassedFields::PassedFields(const std::vector<std::string>& more)
    : request(with(kOfClients, more)), answer(of_answers(with(kOfBackends, more))) {}

}  // namespace batchproxy
