// proxy/jobs/run/answer_file.cc - see answer_file.h.
#include "proxy/jobs/run/answer_file.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <stdexcept>
#include <utility>

#include <fcntl.h>
#include <fmt/format.h>
#include <simdjson.h>
#include <unistd.h>

#include "proxy/jobs/json_line.h"

namespace batchproxy {

namespace {

constexpr std::size_t kPiece = 1 << 20;

std::string provenance_of(const ItemOutcome& outcome) {
  return fmt::format(
      R"(,"provenance":{{"backend":{},"batch":{},"attempts":{},"asked_ms":{},"latency_ms":{},)"
      R"("prompt_tokens":{},"completion_tokens":{}}})",
      json_text(outcome.backend), json_text(outcome.batch), outcome.attempts, outcome.asked_ms,
      outcome.answered_ms - outcome.asked_ms, outcome.prompt_tokens, outcome.completion_tokens);
}

}  // namespace

std::string answer_line(const ItemOutcome& outcome, bool provenance) {
  const bool no_answer = outcome.status == 0;
  std::string line = "{\"custom_id\":" + json_text(outcome.key) + ",\"response\":";
  line += no_answer ? "null"
                    : fmt::format(R"({{"status_code":{},"body":{}}})", outcome.status,
                                  json_value(outcome.answer));
  line += ",\"error\":";
  if (outcome.state != ItemState::kFailed) {
    line += "null";
  } else if (no_answer) {
    line += fmt::format(R"({{"code":"no_answer","message":{}}})", json_text(outcome.answer));
  } else {
    line += fmt::format(R"({{"code":"http_error","message":"status {} after {} attempt{}"}})",
                        outcome.status, outcome.attempts, outcome.attempts == 1 ? "" : "s");
  }
  if (provenance) line += provenance_of(outcome);
  return line + "}\n";
}

AnswerFile::AnswerFile(std::string path, ItemState state, bool provenance)
    : path_(std::move(path)), state_(state), provenance_(provenance) {}

AnswerFile::~AnswerFile() {
  if (fd_ >= 0) ::close(fd_);
}

void AnswerFile::fail(const char* what) const {
  const int number = errno;
  throw std::runtime_error(
      fmt::format("{} cannot be {}: {}{}", path_ == kStandardOutput ? "standard output" : path_,
                  what, std::strerror(number),
                  number == ENOSPC || number == EDQUOT || number == EFBIG
                      ? ". Every answer is in the ledger: free space and run again"
                      : ". Every answer is in the ledger: run again"));
}

void AnswerFile::begin(const std::string& path) {
  if (fd_ >= 0) ::close(fd_);
  fd_ = path == kStandardOutput
            ? ::fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 0)
            : ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (fd_ < 0) fail("made");
}

void AnswerFile::write_anew(Ledger& ledger, bool in_order) {
  const bool to_file = path_ != kStandardOutput;
  const std::string fresh = to_file ? path_ + ".new" : path_;
  begin(fresh);
  next_ = 0;
  lines_ = 0;
  add_in_order(ledger, in_order);
  if (!to_file) return;
  if (lines_ == 0 && state_ == ItemState::kFailed) {
    ::close(std::exchange(fd_, -1));
    ::unlink(fresh.c_str());
    ::unlink(path_.c_str());
    return;
  }
  if (::fdatasync(fd_) != 0) fail("written");
  if (std::rename(fresh.c_str(), path_.c_str()) != 0) fail("put in its place");
}

void AnswerFile::add_in_order(Ledger& ledger, bool stop_at_waiting) {
  ledger.walk(next_, [&](const LedgerItem& item) {
    if (stop_at_waiting && item.outcome.state == ItemState::kWaiting) return false;
    if (item.outcome.state == state_) add(answer_line(item.outcome, provenance_));
    next_ = item.position + 1;
    return true;
  });
  flush();
}

void AnswerFile::append(const std::vector<ItemOutcome>& outcomes) {
  for (const ItemOutcome& outcome : outcomes) {
    if (outcome.state == state_) add(answer_line(outcome, provenance_));
  }
  flush();
}

void AnswerFile::append_in_order(Ledger& ledger) {
  add_in_order(ledger, true);
}

void AnswerFile::add(std::string_view line) {
  ++lines_;
  buffer_ += line;
  if (buffer_.size() >= kPiece) flush();
}

void AnswerFile::flush() {
  if (fd_ < 0 && !buffer_.empty()) begin(path_);
  for (std::size_t done = 0; done < buffer_.size();) {
    const ssize_t wrote = ::write(fd_, buffer_.data() + done, buffer_.size() - done);
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote < 0) fail("written");
    done += static_cast<std::size_t>(wrote);
  }
  buffer_.clear();
}

void AnswerFile::finish() {
  if (fd_ >= 0 && ::fdatasync(fd_) != 0 && errno != EINVAL) fail("written");
}

}  // namespace batchproxy
