// launcher/diagnosis/report.cc - the words around a diagnosis.
#include "launcher/diagnosis/report.h"

#include <array>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <simdjson.h>

#include "configs/text/printable.h"

namespace batchproxy {
namespace {

namespace json = boost::json;

std::string_view word(Diagnosis::Outcome outcome) {
  switch (outcome) {
    case Diagnosis::Outcome::kHealthy:
      return "healthy";
    case Diagnosis::Outcome::kUnended:
      return "unended";
    case Diagnosis::Outcome::kFailed:
      return "failed";
    case Diagnosis::Outcome::kUnknown:
      return "unknown";
  }
  return "";
}

std::string heading(const Diagnosis& diagnosis) {
  const std::string stage = diagnosis.stage ? std::string(describe(*diagnosis.stage)) : "";
  switch (diagnosis.outcome) {
    case Diagnosis::Outcome::kHealthy:
      return "no failure found";
    case Diagnosis::Outcome::kUnended:
      return stage.empty() ? "no failure found, and no start of an engine"
                           : "no failure found; the log ends at: " + stage;
    case Diagnosis::Outcome::kFailed:
      return std::string(describe(*diagnosis.cause).word) + ": " +
             std::string(describe(*diagnosis.cause).what);
    case Diagnosis::Outcome::kUnknown:
      return "a failure that batchproxy does not know" + (stage.empty() ? "" : ", at: " + stage);
  }
  return "";
}

std::string line(std::string_view name, std::string_view value) {
  std::string text(name);
  text.resize(10, ' ');
  return text + printable(value) + "\n";
}

// `text` as JSON may hold it: a log has any bytes.
json::string as_utf8(std::string_view text) {
  json::string valid(text);
  if (simdjson::validate_utf8(text.data(), text.size())) return valid;
  for (char& byte : valid) {
    if (static_cast<unsigned char>(byte) >= 0x80U) byte = '?';
  }
  return valid;
}

template <class Words>
json::array array_of(const Words& words) {
  json::array array;
  for (const auto& word : words) array.emplace_back(as_utf8(word));
  return array;
}

json::value text_or_null(std::string_view text) {
  if (text.empty()) return nullptr;
  return as_utf8(text);
}

std::vector<std::string> advice_in(const Diagnosis& diagnosis) {
  if (!diagnosis.cause) return {};
  return advice_for(*diagnosis.cause, diagnosis.figures);
}

}  // namespace

std::string diagnosis_text(const Diagnosis& diagnosis, const std::string& log) {
  std::string text = line("cause", heading(diagnosis));
  if (!diagnosis.evidence.empty()) text += line("evidence", diagnosis.evidence);
  text += line("log", diagnosis.run.empty() ? log : log + " (" + diagnosis.run + ")");
  if (diagnosis.cause && diagnosis.stage) text += line("stage", describe(*diagnosis.stage));
  std::string_view name = "do";
  for (const std::string& advice : advice_in(diagnosis)) {
    text += line(name, advice);
    name = "";
  }
  name = "lines";
  for (const std::string& last : diagnosis.last_lines) {
    text += line(name, last);
    name = "";
  }
  return text;
}

std::string diagnosis_json(const Diagnosis& diagnosis, const std::string& log) {
  std::vector<std::string_view> also;
  for (const Cause cause : diagnosis.also) also.push_back(describe(cause).word);
  json::object object;
  object["cause"] = text_or_null(diagnosis.cause ? describe(*diagnosis.cause).word : "");
  object["outcome"] = word(diagnosis.outcome);
  object["what"] = text_or_null(diagnosis.cause ? describe(*diagnosis.cause).what : "");
  object["evidence"] = text_or_null(diagnosis.evidence);
  object["advice"] = array_of(advice_in(diagnosis));
  object["stage"] = text_or_null(diagnosis.stage ? word(*diagnosis.stage) : "");
  object["also"] = array_of(also);
  object["last_lines"] = array_of(diagnosis.last_lines);
  object["run"] = as_utf8(diagnosis.run);
  object["log"] = as_utf8(log);
  return json::serialize(object);
}

}  // namespace batchproxy
