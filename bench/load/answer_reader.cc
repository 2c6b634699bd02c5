// bench/load/answer_reader.cc - see answer_reader.h.
#include "bench/load/answer_reader.h"

#include <fmt/format.h>
#include <simdjson.h>

#include "configs/text/trim.h"

namespace batchproxy::bench {

namespace {

namespace dom = simdjson::dom;

constexpr std::size_t kLongestDetail = 500;  // bytes of a body that is no JSON

// One for each use: what it has parsed lives until it parses again.
dom::parser& parser() {
  thread_local dom::parser own;
  return own;
}

bool is_success(unsigned status) {
  return status >= 200 && status < 300;
}

void read_usage(dom::object object, AnswerText& answer) {
  dom::object usage;
  if (object["usage"].get(usage)) return;
  std::int64_t tokens = 0;
  if (!usage["prompt_tokens"].get(tokens)) answer.prompt_tokens = tokens;
  if (!usage["completion_tokens"].get(tokens)) answer.output_tokens = tokens;
}

// The text of the first choice, whole or of an event; "" for answers that are no text.
std::string_view text_of(dom::object object) {
  std::string_view text;
  const auto choice = object["choices"].at(0);
  if (!choice["text"].get(text)) return text;
  for (const char* name : {"message", "delta"}) {
    if (!choice[name]["content"].get(text)) return text;
    if (!choice[name]["reasoning_content"].get(text)) return text;
  }
  return {};
}

// OpenAI's {"error": {"message", "type", "code"}}, or the bare object that vLLM once sent.
void read_error(dom::object object, AnswerText& answer) {
  dom::object error = object;
  dom::object inner;
  if (!object["error"].get(inner)) error = inner;
  std::string_view text;
  if (!error["message"].get(text)) answer.detail = text;
  for (const char* name : {"code", "type"}) {
    if (error[name].get(text) || text.empty()) continue;
    answer.problem += fmt::format(" {}", text);
    return;
  }
}

}  // namespace

AnswerText read_answer(unsigned status, std::string_view body) {
  AnswerText answer;
  if (!is_success(status)) answer.problem = std::to_string(status);
  dom::object object;
  if (parser().parse(body.data(), body.size()).get(object)) {
    answer.detail = body.substr(0, kLongestDetail);
    if (is_success(status)) {
      answer.problem = "garbage";
      answer.detail = fmt::format("status {}, and no JSON object: {}", status, answer.detail);
    }
    return answer;
  }
  if (!is_success(status)) {
    read_error(object, answer);
    return answer;
  }
  answer.text = text_of(object);
  read_usage(object, answer);
  return answer;
}

void StreamReader::take(std::string_view bytes, double now) {
  while (!bytes.empty()) {
    const std::size_t end = bytes.find('\n');
    if (end == std::string_view::npos) {
      held_ += bytes;
      return;
    }
    if (held_.empty()) {
      take_line(bytes.substr(0, end), now);
    } else {
      held_ += bytes.substr(0, end);
      take_line(held_, now);
      held_.clear();
    }
    bytes.remove_prefix(end + 1);
  }
}

void StreamReader::take_line(std::string_view line, double now) {
  constexpr std::string_view kData = "data:";
  if (!line.starts_with(kData)) return;
  line = trim(line.substr(kData.size()), " \t\r");
  if (line == "[DONE]") {
    done_ = true;
  } else {
    take_event(line, now);
  }
}

void StreamReader::take_event(std::string_view json, double now) {
  dom::object object;
  if (parser().parse(json.data(), json.size()).get(object)) {
    answer_.problem = "garbage";
    answer_.detail =
        fmt::format("an event that is no JSON object: {}", json.substr(0, kLongestDetail));
    return;
  }
  dom::object error;
  if (!object["error"].get(error)) {
    answer_.problem = "error_event";
    read_error(object, answer_);
    return;
  }
  read_usage(object, answer_);
  const std::string_view text = text_of(object);
  if (text.empty()) return;
  answer_.text += text;
  if (first_ == 0) {
    first_ = now;
  } else {
    gaps_.push_back(static_cast<float>(now - last_));
  }
  last_ = now;
}

AnswerText StreamReader::finish() {
  if (answer_.problem.empty() && !done_) {
    answer_.problem = "cut";
    answer_.detail = "the stream ended without data: [DONE]";
  }
  return std::move(answer_);
}

}  // namespace batchproxy::bench
