// proxy/jobs/run/common_refusal.cc - see common_refusal.h.
#include "proxy/jobs/run/common_refusal.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include <fmt/format.h>
#include <simdjson.h>

#include "configs/text/printable.h"
#include "configs/text/trim.h"

namespace batchproxy {

namespace {

constexpr std::size_t kMostWords = 300;

// What the server says of an error, in the words of OpenAI's errors where it has any.
std::string message_in(const std::string& body) {
  simdjson::dom::parser parser;
  simdjson::dom::element answer;
  std::string_view message;
  if (parser.parse(body).get(answer) ||
      (answer.at_pointer("/error/message").get(message) && answer["message"].get(message) &&
       answer["detail"].get(message))) {
    message = body;
  }
  return printable(std::string(trim(message.substr(0, kMostWords), " \t\r\n")));
}

// A key is asked for, or may not; a path or a model is not there; what listens there does not speak
// our protocol (0). All else depends on the question.
bool may_be_common(unsigned status) {
  return status == 0 || status == 401 || status == 403 || status == 404 || status == 405;
}

// The words of one may name its model: then it is the reason of those with the same model.
bool is_like(const ItemOutcome& one, const ItemOutcome& other) {
  return one.state == ItemState::kFailed && one.status == other.status &&
         (one.status == 401 || one.status == 403 || message_in(one.answer) == message_in(other.answer));
}

}  // namespace

void CommonRefusal::add(const std::vector<ItemOutcome>& outcomes) {
  for (const ItemOutcome& outcome : outcomes) {
    held_.push_back(outcome);
    const bool fits = may_be_common(outcome.status) && is_like(outcome, held_.front());
    ruled_out_ = ruled_out_ || !fits;
  }
}

std::vector<ItemOutcome> CommonRefusal::take() {
  return std::exchange(held_, {});
}

std::optional<std::string> CommonRefusal::sentence(bool has_key) const {
  if (ruled_out_ || held_.empty()) return std::nullopt;
  const ItemOutcome& first = held_.front();
  if (first.status == 401) {
    return has_key ? "the API key in OPENAI_API_KEY is not taken: " + message_in(first.answer) +
                         " Set another, and run again"
                   : "the proxy wants an API key: set OPENAI_API_KEY, and run again";
  }
  if (held_.size() < kEnough) return std::nullopt;
  if (first.status == 0) {
    return fmt::format(
        "the first {} questions had no answer in {} tries each ({}): is --url the address that "
        "your workers ask? Run again: none counts as failed",
        held_.size(), first.attempts, printable(first.answer));
  }
  return fmt::format(
      "the first {} questions were all refused with status {}: {} {}, and run again: none counts "
      "as failed",
      held_.size(), first.status, message_in(first.answer),
      first.status == 403 ? "Set OPENAI_API_KEY to a key that may ask them"
                          : "Serve what they ask for, name another model in the lines or by "
                            "--default-model, or ask another --url");
}

}  // namespace batchproxy
