// backends/call/answer_check.cc - see answer_check.h.
#include "backends/call/answer_check.h"

#include <algorithm>
#include <cstddef>
#include <new>
#include <utility>

#include "backends/http/head.h"
#include "backends/json/json_fault.h"

namespace batchproxy {

namespace ondemand = simdjson::ondemand;

namespace {

// number = [ "-" ] int [ frac ] [ exp ], RFC 8259 6. By spelling, not by value: what is too large
// for us may be fine for the client.
bool is_number(std::string_view text) {
  std::size_t at = 0;
  const auto is = [&](char c) { return at < text.size() && text[at] == c; };
  const auto digits = [&] {
    const std::size_t from = at;
    while (at < text.size() && text[at] >= '0' && text[at] <= '9') ++at;
    return at - from;
  };
  if (is('-')) ++at;
  const bool leading_zero = is('0');
  const std::size_t whole = digits();
  if (whole == 0 || (leading_zero && whole > 1)) return false;
  if (is('.')) {
    ++at;
    if (digits() == 0) return false;
  }
  if (is('e') || is('E')) {
    ++at;
    if (is('+') || is('-')) ++at;
    if (digits() == 0) return false;
  }
  return at == text.size();
}

bool is_blank(char c) {
  return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

std::string_view without_parameters(std::string_view content_type) {
  const std::string_view type = content_type.substr(0, content_type.find(';'));
  return type.substr(0, type.find_last_not_of(" \t") + 1);
}

constexpr int kMaxDepth = 256;  // answers are a few levels deep; recursion must end

// The longest answer of which a tree is built. The builder keeps up to 14 times as much.
constexpr std::size_t kTree = 32 * 1024;  // bytes

// Scalars need not be stepped over: who iterates does that.
bool is_well_formed(ondemand::value value, int depth);

bool is_well_formed(ondemand::object object, int depth) {
  for (auto element : object) {
    ondemand::field field;
    if (std::move(element).get(field) || !is_well_formed(field.value(), depth)) return false;
  }
  return true;
}

bool is_well_formed(ondemand::array array, int depth) {
  for (auto element : array) {
    ondemand::value value;
    if (element.get(value) || !is_well_formed(value, depth)) return false;
  }
  return true;
}

bool is_well_formed(ondemand::value value, int depth) {
  ondemand::json_type type;
  if (depth == kMaxDepth || value.type().get(type)) return false;
  if (type == ondemand::json_type::object) {
    ondemand::object object;
    return !value.get_object().get(object) && is_well_formed(object, depth + 1);
  }
  if (type == ondemand::json_type::array) {
    ondemand::array array;
    return !value.get_array().get(array) && is_well_formed(array, depth + 1);
  }
  std::string_view token = value.raw_json_token();  // up to the next one
  while (!token.empty() && is_blank(token.back())) token.remove_suffix(1);
  if (type == ondemand::json_type::string) return token.size() > 1 && token.ends_with('"');
  if (type == ondemand::json_type::number) return is_number(token);
  return token == "true" || token == "false" || token == "null";
}

}  // namespace

bool is_json_type(std::string_view content_type) {
  const std::string_view type = without_parameters(content_type);
  constexpr std::string_view kSuffix = "+json";
  return http::iequals(type, "application/json") ||
         (type.size() > kSuffix.size() &&
          http::iequals(type.substr(type.size() - kSuffix.size()), kSuffix));
}

bool is_event_stream(std::string_view content_type) {
  return http::iequals(without_parameters(content_type), "text/event-stream");
}

std::optional<bool> begins_like_events(std::string_view bytes) {
  bool may_become = false;
  for (const std::string_view field : {"data:", "event:", "id:", "retry:", ":"}) {
    if (bytes.starts_with(field)) return true;
    may_become = may_become || field.starts_with(bytes);
  }
  if (may_become) return std::nullopt;
  return false;
}

AnswerFault fault_of(const AnswerHead& head, std::string_view body) {
  const bool told_as_json = head.content_type.empty() || is_json_type(head.content_type);
  if (!told_as_json) {
    return {AnswerFault::Kind::kType, 0, 0, std::string(without_parameters(head.content_type))};
  }
  // Without a fault it is JSON, but no object.
  const std::size_t first = std::min(body.find_first_not_of(" \t\r\n"), body.size());
  const std::size_t at = find_json_fault(body).value_or(first);
  return {AnswerFault::Kind::kJson, at, 0, shown_at(body, at)};
}

CallFailure AnswerChecker::judge(const AnswerHead& head, std::string_view body,
                                 bool expects_object) {
  // A 503 says enough: come again. No engine says that it has no generations without a word: it is
  // something else that has taken the port of one that has just died.
  const bool needs_words =
      (head.status >= 500 && head.status != 503) || (head.status == 404 && expects_object);
  if (needs_words && body.empty()) return CallFailure::kBareError;
  const bool looked_into = expects_object && head.status < 300 && head.content_encoding.empty();
  if (!looked_into) return CallFailure::kNone;
  return is_whole_object(body) ? CallFailure::kNone : CallFailure::kBadAnswer;
}

// Building a tree is quicker than a walk, but refuses some that are well-formed: numbers and
// escapes that it cannot represent.
bool AnswerChecker::is_tree(std::string_view body) {
  if (body.size() > kTree) return false;
  if (builder_.capacity() < kTree && builder_.allocate(kTree, kMaxDepth)) throw std::bad_alloc();
  simdjson::dom::element root;
  return !builder_.parse(body.data(), body.size(), false).get(root) && root.is_object();
}

bool AnswerChecker::is_whole_object(std::string_view body) {
  if (is_tree(body)) return true;
  const simdjson::padded_string_view text(body.data(), body.size(),
                                          body.size() + simdjson::SIMDJSON_PADDING);
  ondemand::document document;
  ondemand::object object;
  const auto error = walker_.iterate(text).get(document);
  if (error == simdjson::MEMALLOC) throw std::bad_alloc();  // no fault of the backend
  if (error || document.get_object().get(object)) return false;
  return is_well_formed(object, 1) &&
         document.current_location().error() == simdjson::OUT_OF_BOUNDS;
}

}  // namespace batchproxy
