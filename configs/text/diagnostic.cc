// configs/text/diagnostic.cc - collecting and printing findings.
#include "configs/text/diagnostic.h"

#include <algorithm>
#include <string_view>

namespace batchproxy {
namespace {

std::string_view name_of(Severity severity) {
  switch (severity) {
    case Severity::kError:
      return "error";
    case Severity::kWarning:
      return "warning";
    case Severity::kNotice:
      return "notice";
  }
  return "";
}

// A key may hold what YAML's "\e" stands for: a terminal must not be steered by it.
std::string without_control_bytes(std::string_view text) {
  constexpr std::string_view kHex = "0123456789abcdef";
  std::string shown;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x20 && byte != 0x7f) {
      shown += c;
    } else {
      shown.append("\\x") += kHex[byte / 16];
      shown += kHex[byte % 16];
    }
  }
  return shown;
}

}  // namespace

std::string to_string(const Place& place) {
  if (place.line == 0) return place.file;
  return place.file + ":" + std::to_string(place.line) + ":" + std::to_string(place.column);
}

std::string Diagnostic::format() const {
  return without_control_bytes(to_string(Place{file, line, column}) + ": " +
                               std::string(name_of(severity)) + ": " + message);
}

void Findings::error(const Place& place, std::string message) {
  add(Severity::kError, place, std::move(message));
}

void Findings::warning(const Place& place, std::string message) {
  add(Severity::kWarning, place, std::move(message));
}

void Findings::notice(const Place& place, std::string message) {
  add(Severity::kNotice, place, std::move(message));
}

bool Findings::has_error_at(const Place& place) const {
  return std::ranges::any_of(list_, [&](const Diagnostic& one) {
    return one.severity == Severity::kError && Place{one.file, one.line, one.column} == place;
  });
}

void Findings::add(Severity severity, const Place& place, std::string message) {
  list_.push_back({severity, place.file, place.line, place.column, std::move(message)});
}

}  // namespace batchproxy
