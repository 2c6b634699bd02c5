// proxy/wire/passed_fields.cc - see passed_fields.h.
#include "proxy/wire/passed_fields.h"

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

template <std::size_t n>
std::vector<std::string> with(const std::array<std::string_view, n>& names,
                              const std::vector<std::string>& more) {
  std::vector<std::string> all(names.begin(), names.end());
  all.insert(all.end(), more.begin(), more.end());
  return all;
}

}  // namespace

PassedFields::PassedFields(const std::vector<std::string>& more)
    : request(with(kOfClients, more)), answer(with(kOfBackends, more)) {}

}  // namespace batchproxy
