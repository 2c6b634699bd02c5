// proxy/terminal/terminal_writer.cc - see terminal_writer.h.
#include "proxy/terminal/terminal_writer.h"

#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <string>
#include <utility>

#include <fmt/chrono.h>
#include <spdlog/sinks/sink.h>
#include <spdlog/spdlog.h>
#include <sys/ioctl.h>
#include <unistd.h>

namespace batchproxy {

namespace {

void write(std::string_view text) {
  if (text.empty()) return;
  std::fwrite(text.data(), 1, text.size(), stdout);
  std::fflush(stdout);
}

bool is_dumb() {
  const char* term = std::getenv("TERM");
  return term == nullptr || std::string_view(term).empty() || std::string_view(term) == "dumb";
}

// Lets another sink write while the board is lifted.
class AsideSink final : public spdlog::sinks::sink {
 public:
  AsideSink(std::shared_ptr<TerminalWriter> writer, spdlog::sink_ptr inner)
      : writer_(std::move(writer)), inner_(std::move(inner)) {
    set_level(inner_->level());
  }

  void log(const spdlog::details::log_msg& message) override {
    writer_->aside([&] {
      inner_->log(message);
      inner_->flush();
    });
  }
  void flush() override { inner_->flush(); }
  void set_pattern(const std::string& pattern) override { inner_->set_pattern(pattern); }
  void set_formatter(std::unique_ptr<spdlog::formatter> formatter) override {
    inner_->set_formatter(std::move(formatter));
  }

 private:
  const std::shared_ptr<TerminalWriter> writer_;
  const spdlog::sink_ptr inner_;
};

}  // namespace

TerminalWriter::TerminalWriter()
    : is_terminal_(::isatty(STDOUT_FILENO) == 1), moves_cursor_(is_terminal_ && !is_dumb()) {}

TerminalWriter::Size TerminalWriter::size() const {
  winsize size{};
  if (!is_terminal_ || ::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0) return {};
  return {size.ws_col, size.ws_row};
}

void TerminalWriter::measure_board() {
  const auto [columns, rows] = size();
  board_->set_size(columns, rows);
}

void TerminalWriter::line(std::string_view text) {
  const std::lock_guard lock(mutex_);
  if (board_) {
    measure_board();
    write(board_->line(text));
  } else {
    write(std::string(text) + "\n");
  }
}

void TerminalWriter::event(std::string_view text) {
  line(stamp() + std::string(text));
}

// "22:24:14 "
std::string TerminalWriter::stamp() const {
  if (is_terminal_) return {};
  const std::time_t now = std::time(nullptr);
  std::tm local{};
  ::localtime_r(&now, &local);
  return fmt::format("{:%H:%M:%S} ", local);
}

void TerminalWriter::begin_board(std::vector<StartupDisplay::Engine> engines) {
  const std::lock_guard lock(mutex_);
  board_.emplace(std::move(engines), moves_cursor_);
  of_engines_ = true;
}

void TerminalWriter::end_board() {
  const std::lock_guard lock(mutex_);
  if (std::exchange(of_engines_, false)) board_.reset();
}

bool TerminalWriter::has_board() const {
  const std::lock_guard lock(mutex_);
  return of_engines_;
}

void TerminalWriter::update(BackendId engine, std::string_view text, bool milestone,
                            TimePoint now) {
  const std::lock_guard lock(mutex_);
  if (!of_engines_) return;
  measure_board();
  const std::string shown = board_->update(engine, text, milestone, now);
  if (!shown.empty()) write(stamp() + shown);
}

void TerminalWriter::status(std::string_view text, TimePoint now) {
  const std::lock_guard lock(mutex_);
  if (!moves_cursor_ || of_engines_) return;
  if (!board_) board_.emplace(std::vector{StartupDisplay::Engine{}}, true);
  measure_board();
  write(board_->update(0, text, true, now));
}

void TerminalWriter::lift() {
  if (!board_) return;
  measure_board();
  write(board_->lift());
}

void TerminalWriter::restore() {
  if (board_) write(board_->restore());
}

void log_through(const std::shared_ptr<TerminalWriter>& writer) {
  if (!writer->is_terminal() || ::isatty(STDERR_FILENO) != 1) return;
  for (spdlog::sink_ptr& sink : spdlog::default_logger_raw()->sinks()) {
    sink = std::make_shared<AsideSink>(writer, sink);
  }
}

}  // namespace batchproxy
