// tests/fuzz/agent_fuzz.cc - what an agent, or whoever connects in its place, may say: any line is
// refused or understood, and what is understood is written as it is read.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "launcher/agent/agent_protocol.h"

namespace {

using namespace batchproxy;

// What to_text() has written, read again.
AgentLine again(const AgentLine& line) {
  std::string text = to_text(line);
  if (text.back() != '\n') std::abort();
  text.pop_back();
  if (text.find('\n') != std::string::npos) std::abort();
  const auto read = parse_agent_line(text);
  if (!read || *read != line) std::abort();
  return *read;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  // Any bytes, as a value.
  again({"log", {{"text", std::string(text)}}});
  const auto line = parse_agent_line(text);
  if (!line) return 0;
  again(*line);
  if (const auto hello = read_hello(*line)) {
    const auto same = read_hello(again(to_line(*hello)));
    if (!same || same->claim() != hello->claim() || same->proof != hello->proof) std::abort();
  }
  if (const auto order = read_order(*line)) {
    if (read_order(again(to_line(*order))) != order) std::abort();
  }
  if (const auto news = read_news(*line)) {
    const auto same = read_news(again(to_line(*news)));
    if (!same || same->index() != news->index()) std::abort();
  }
  return 0;
}
