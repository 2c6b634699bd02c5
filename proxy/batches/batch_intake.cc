// proxy/batches/batch_intake.cc - see batch_intake.h.
#include "proxy/batches/batch_intake.h"

#include <utility>
#include <variant>

#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <fmt/format.h>

namespace batchproxy {

namespace json = boost::json;

namespace {
constexpr std::size_t kMostFaults = 1000;     // told one by one
constexpr std::size_t kLongestMessage = 400;  // bytes: a line may be quoted in it

void shorten(std::string& message) {
  if (message.size() <= kLongestMessage) return;
  std::size_t end = kLongestMessage;
  while (end > 0 && (static_cast<unsigned char>(message[end]) & 0xc0) == 0x80) --end;
  message.replace(end, std::string::npos, "…");
}
}  // namespace

BatchIntake::BatchIntake(const std::string& file, std::string endpoint)
    : endpoint_(std::move(endpoint)), parser_(file, {}) {}

void BatchIntake::fault(std::string_view code, std::string message, std::int64_t line,
                        std::string_view param) {
  if (faults_.size() >= kMostFaults) {
    ++untold_;
    return;
  }
  shorten(message);
  faults_.push_back(
      json::object{{"code", code},
                   {"line", line == 0 ? json::value(nullptr) : json::value(line)},
                   {"message", std::move(message)},
                   {"param", param.empty() ? json::value(nullptr) : json::value(param)}});
}

std::optional<Question> BatchIntake::take(std::string_view line, std::int64_t number) {
  QuestionParser::Parsed parsed = parser_.parse(line, number);
  if (const auto* bad = std::get_if<BadLine>(&parsed)) {
    fault("invalid_json_line", bad->sentence, number);
    return std::nullopt;
  }
  auto* question = std::get_if<Question>(&parsed);
  if (question == nullptr) return std::nullopt;
  if (parser_.format() != QuestionFormat::kBatchLines) {
    fault("missing_required_parameter",
          "A line of a batch is {\"custom_id\", \"method\", \"url\", \"body\"}.", number, "body");
    return std::nullopt;
  }
  if (question->path != endpoint_) {
    fault("mismatched_endpoint",
          fmt::format("The url is {}, and the batch is for {}.", question->path, endpoint_), number,
          "url");
    return std::nullopt;
  }
  ++requests_;
  return std::move(*question);
}

void BatchIntake::too_long(std::int64_t number) {
  fault("invalid_json_line", parser_.too_long(number).sentence, number);
}

void BatchIntake::duplicate(std::int64_t number, std::string_view key, std::int64_t first) {
  fault("duplicate_custom_id",
        fmt::format("The custom_id '{}' stands in line {} already.", key, first), number,
        "custom_id");
}

void BatchIntake::finish() {
  if (requests_ > kMostBatchRequests) {
    fault("too_many_requests",
          fmt::format("The file has {} requests; a batch has at most {}. Split it.", requests_,
                      kMostBatchRequests),
          0);
  }
  if (requests_ == 0 && ok()) fault("empty_file", "The file has no requests.", 0);
}

std::string BatchIntake::errors() const {
  json::array all = faults_;
  if (untold_ > 0) {
    all.push_back(json::object{{"code", "more_errors"},
                               {"line", nullptr},
                               {"message", fmt::format("{} more lines are at fault.", untold_)},
                               {"param", nullptr}});
  }
  return json::serialize(all);
}

}  // namespace batchproxy
