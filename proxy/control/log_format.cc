// proxy/control/log_format.cc - see log_format.h.
#include "proxy/control/log_format.h"

#include <cstdlib>
#include <string>

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <spdlog/pattern_formatter.h>
#include <sys/stat.h>
#include <unistd.h>

#include "configs/text/printable.h"
#include "proxy/jobs/json_line.h"

namespace batchproxy {

namespace {

std::string_view payload_of(const spdlog::details::log_msg& message) {
  return {message.payload.data(), message.payload.size()};
}

// The message, whoever had a hand in it, as one line without control characters.
class PrintableMessage final : public spdlog::custom_flag_formatter {
 public:
  void format(const spdlog::details::log_msg& message, const std::tm&,
              spdlog::memory_buf_t& out) override {
    const std::string text = printable(payload_of(message));
    out.append(text.data(), text.data() + text.size());
  }
  std::unique_ptr<custom_flag_formatter> clone() const override {
    return std::make_unique<PrintableMessage>();
  }
};

// Of syslog(3), which the journal takes in front of a line: sd-daemon(3).
int priority_of(spdlog::level::level_enum level) {
  switch (level) {
    case spdlog::level::critical:
      return 2;
    case spdlog::level::err:
      return 3;
    case spdlog::level::warn:
      return 4;
    case spdlog::level::info:
      return 6;
    case spdlog::level::trace:
    case spdlog::level::debug:
    case spdlog::level::off:
    case spdlog::level::n_levels:
      break;
  }
  return 7;
}

class Priority final : public spdlog::custom_flag_formatter {
 public:
  void format(const spdlog::details::log_msg& message, const std::tm&,
              spdlog::memory_buf_t& out) override {
    const std::string text = fmt::format("<{}>", priority_of(message.level));
    out.append(text.data(), text.data() + text.size());
  }
  std::unique_ptr<custom_flag_formatter> clone() const override {
    return std::make_unique<Priority>();
  }
};

class JsonLine final : public spdlog::formatter {
 public:
  void format(const spdlog::details::log_msg& message, spdlog::memory_buf_t& out) override {
    const auto time = std::chrono::floor<std::chrono::milliseconds>(message.time);
    const auto seconds = std::chrono::floor<std::chrono::seconds>(time);
    const auto level = spdlog::level::to_string_view(message.level);
    const std::string line = fmt::format(
        "{{\"time\":\"{:%Y-%m-%dT%H:%M:%S}.{:03}Z\",\"level\":\"{}\",\"message\":{}}}\n",
        fmt::gmtime(std::chrono::system_clock::to_time_t(seconds)), (time - seconds).count(),
        std::string_view(level.data(), level.size()), json_text(payload_of(message)));
    out.append(line.data(), line.data() + line.size());
  }
  std::unique_ptr<spdlog::formatter> clone() const override { return std::make_unique<JsonLine>(); }
};

}  // namespace

std::unique_ptr<spdlog::formatter> log_formatter(std::string_view format, bool to_journal) {
  if (format == "json") return std::make_unique<JsonLine>();
  auto text = std::make_unique<spdlog::pattern_formatter>();
  text->add_flag<PrintableMessage>('*').add_flag<Priority>('Q');
  text->set_pattern(to_journal ? "%Q%*" : "%Y-%m-%d %H:%M:%S.%e %^%l%$ %*");
  return text;
}

bool is_journal() {
  const char* stream = std::getenv("JOURNAL_STREAM");
  struct stat ours{};
  if (stream == nullptr || ::fstat(STDERR_FILENO, &ours) != 0) return false;
  return fmt::format("{}:{}", ours.st_dev, ours.st_ino) == stream;
}

}  // namespace batchproxy
