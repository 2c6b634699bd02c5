// proxy/batches/batch_intake.h - BatchIntake: the lines of an input file as a batch's requests, and
// what is wrong with the others.
//
// Sans-io. A batch with a line that is no request fails before anything is asked, as OpenAI's do:
// all such lines are told at once. What an engine refuses fails alone.
//
// Threading: confined to one thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include <boost/json/array.hpp>

#include "backends/questions/question_file.h"

namespace batchproxy {

inline constexpr std::int64_t kMostBatchRequests = 50'000;  // as OpenAI's

class BatchIntake {
 public:
  // `file`: its name, for people.
  BatchIntake(const std::string& file, std::string endpoint);

  // The request in the line with this number, from 1; nothing when it is empty, or at fault.
  std::optional<Question> take(std::string_view line, std::int64_t number);
  void too_long(std::int64_t number);
  // Its custom_id stands in line `first` already.
  void duplicate(std::int64_t number, std::string_view key, std::int64_t first);
  // At the file's end.
  void finish();

  bool ok() const { return faults_.empty(); }
  std::int64_t requests() const { return requests_; }
  // As StoredBatch::errors.
  std::string errors() const;

 private:
  void fault(std::string_view code, std::string message, std::int64_t line,
             std::string_view param = {});

  const std::string endpoint_;
  QuestionParser parser_;
  boost::json::array faults_;
  std::int64_t requests_ = 0;
  std::int64_t untold_ = 0;  // faults beyond those that are kept
};

}  // namespace batchproxy
