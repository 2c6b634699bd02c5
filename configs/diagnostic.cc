// configs/diagnostic.cc - collecting and printing findings.
#include "configs/diagnostic.h"

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

}  // namespace

std::string to_string(const Place& place) {
  if (place.line == 0) return place.file;
  return place.file + ":" + std::to_string(place.line) + ":" + std::to_string(place.column);
}

std::string Diagnostic::format() const {
  return to_string(Place{file, line, column}) + ": " + std::string(name_of(severity)) + ": " +
         message;
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
