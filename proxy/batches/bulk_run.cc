// proxy/batches/bulk_run.cc - see bulk_run.h.
#include "proxy/batches/bulk_run.h"

#include <algorithm>
#include <set>
#include <utility>
#include <variant>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/redirect_error.hpp>
#include <fmt/format.h>

#include "backends/questions/line_reader.h"
#include "proxy/batches/batch_lines.h"
#include "proxy/batches/batch_request.h"

namespace batchproxy {

namespace {

constexpr std::size_t kPiece = 64 * 1024;
constexpr std::size_t kMostWaiting = 256;  // questions that are not asked yet
constexpr std::size_t kMostWaitingBytes = std::size_t{32} << 20;
constexpr std::size_t kMostUnsent = 1 << 20;  // bytes of answers that the client has not taken
constexpr Duration kLook = std::chrono::milliseconds(5);
constexpr Duration kLookIfGone = std::chrono::milliseconds(200);
constexpr Duration kLong = std::chrono::hours(1);

AskerSettings bounded(AskerSettings settings) {
  settings.limits.window = kMostWaiting;
  return settings;
}

}  // namespace

BulkRun::BulkRun(asio::io_context& io, ServiceExchange& exchange, AskerSettings settings,
                 const std::string& ledger)
    : io_(io),
      exchange_(exchange),
      parser_("line", {}),
      asker_(
          io, bounded(std::move(settings)),
          [this](std::vector<Question>& into, std::size_t at_most) { return give(into, at_most); },
          [this](const std::vector<ItemOutcome>& outcomes) { record(outcomes); }),
      reader_(io.get_executor()),
      writer_(io.get_executor()),
      ended_(io.get_executor()) {
  if (!ledger.empty()) ledger_.emplace(ledger);
}

BulkRun::~BulkRun() = default;

Task<void> BulkRun::wait(Timer& timer, Duration most) {
  ErrorCode woken;
  timer.expires_after(most);
  co_await timer.async_wait(asio::redirect_error(use_task, woken));
}

Task<void> BulkRun::run() {
  const bool asked = co_await exchange_.ask_for_body();
  if (!asked) co_return;
  const bool begun = co_await exchange_.begin("application/x-ndjson", std::nullopt);
  if (!begun) co_return;
  parts_ = 2;
  const auto end_part = [this](const std::exception_ptr& trouble_in_it) {
    if (trouble_in_it) leave();
    --parts_;
    ended_.cancel();
  };
  asio::co_spawn(io_.get_executor(), read(), end_part);
  asio::co_spawn(io_.get_executor(), write(), end_part);
  std::exception_ptr trouble;
  try {
    co_await asker_.run();
  } catch (const LedgerError&) {
    trouble = std::current_exception();
  }
  if (trouble || asker_.ending() != Asker::Ending::kDone) leave();
  answered_ = true;
  reader_.cancel();
  writer_.cancel();
  while (parts_ > 0) co_await wait(ended_, kLong);
  if (trouble) std::rethrow_exception(trouble);
  if (!gone_ && !broken_) co_await exchange_.end_chunks();
}

void BulkRun::stop() {
  asker_.stop();
  leave();
}

// Everything ends: the client has left, or will be left.
void BulkRun::leave() {
  if (std::exchange(gone_, true)) return;
  asker_.abandon();
  exchange_.cut();
  reader_.cancel();
  writer_.cancel();
}

Task<void> BulkRun::read() {
  std::vector<char> piece(kPiece);
  while (!no_more_ && !gone_) {
    if (has_enough()) {
      if (exchange_.peer_gone()) leave();
      co_await wait(reader_, kLook);
      continue;
    }
    const std::optional<std::size_t> got = co_await exchange_.read_some(piece);
    if (!got) {
      leave();
      break;
    }
    text_.append(piece.data(), *got);
    no_more_ = *got == 0;
    std::vector<Question> questions;
    split(questions);
    try {
      admit(std::move(questions));
    } catch (const LedgerError& error) {
      refuse(error.what());
      no_more_ = broken_ = true;
    }
  }
  no_more_ = true;
  while (!gone_ && !answered_) {
    if (exchange_.peer_gone()) leave();
    co_await wait(reader_, kLookIfGone);
  }
}

bool BulkRun::has_enough() const {
  return waiting_.size() >= kMostWaiting || waiting_bytes_ >= kMostWaitingBytes;
}

Task<void> BulkRun::write() {
  while (!gone_) {
    if (out_.empty() && answered_) break;
    if (out_.empty()) {
      co_await wait(writer_, kLong);
      continue;
    }
    const std::string lines = std::exchange(out_, {});
    const bool sent = co_await exchange_.write_chunk(lines);
    if (!sent) leave();
  }
}

// The whole lines of what has come.
void BulkRun::split(std::vector<Question>& questions) {
  std::size_t begin = 0;
  for (std::size_t end = text_.find('\n', searched_); end != std::string::npos;
       end = text_.find('\n', begin)) {
    take_line(std::string_view(text_).substr(begin, end - begin), questions);
    begin = end + 1;
  }
  text_.erase(0, begin);
  searched_ = text_.size();
  if (text_.size() > LineReader::kMaxLine) {
    refuse(parser_.too_long(++lines_).sentence);
    no_more_ = broken_ = true;
    text_.clear();
  } else if (no_more_ && !text_.empty()) {
    take_line(text_, questions);
  }
}

void BulkRun::take_line(std::string_view line, std::vector<Question>& questions) {
  if (line.ends_with('\r')) line.remove_suffix(1);
  QuestionParser::Parsed parsed = parser_.parse(line, ++lines_);
  if (const auto* bad = std::get_if<BadLine>(&parsed)) return refuse(bad->sentence);
  auto* question = std::get_if<Question>(&parsed);
  if (question == nullptr) return;
  const bool is_batch_line = parser_.format() == QuestionFormat::kBatchLines;
  const bool known = std::ranges::count(kBatchEndpoints, question->path) > 0;
  if (!is_batch_line || !known) {
    return refuse(
        fmt::format("line:{}: a line is {{\"custom_id\", \"method\", \"url\", \"body\"}}, "
                    "and its url is one of {}",
                    lines_, fmt::join(kBatchEndpoints, ", ")));
  }
  if (ledger_ && !keys_.insert(question->key).second) {
    return refuse(
        fmt::format("line:{}: the custom_id '{}' has come before on this connection: in a "
                    "durable job each stands for one request",
                    lines_, question->key));
  }
  questions.push_back(std::move(*question));
}

// Those that the ledger has an answer to are answered at once.
void BulkRun::admit(std::vector<Question> questions) {
  std::set<std::string, std::less<>> known;
  if (ledger_ && !questions.empty()) {
    Ledger::Reading reading(*ledger_);
    for (std::size_t i = 0; i < questions.size(); ++i) {
      const std::string hash = hash_of_body(questions[i].path + questions[i].body);
      reading.note(questions[i].key, hash, static_cast<std::int64_t>(i));
    }
    reading.retry_failed();
    reading.commit();
    ledger_->walk(0, [&](const LedgerItem& item) {
      if (item.outcome.state != ItemState::kAnswered) return true;
      known.insert(item.outcome.key);
      emit(batch_line(fmt::format("bulk_req_{}", ++written_), item.outcome));
      return true;
    });
  }
  for (Question& question : questions) {
    if (known.contains(question.key)) continue;
    waiting_bytes_ += question.body.size();
    waiting_.push_back(std::move(question));
  }
}

bool BulkRun::give(std::vector<Question>& into, std::size_t at_most) {
  while (!waiting_.empty() && into.size() < at_most && out_.size() < kMostUnsent) {
    waiting_bytes_ -= waiting_.front().body.size();
    into.push_back(std::move(waiting_.front()));
    waiting_.pop_front();
  }
  return !no_more_ || !waiting_.empty();
}

void BulkRun::record(const std::vector<ItemOutcome>& outcomes) {
  if (ledger_) ledger_->record(outcomes);
  for (const ItemOutcome& outcome : outcomes) {
    emit(batch_line(fmt::format("bulk_req_{}", ++written_), outcome));
  }
}

void BulkRun::emit(std::string_view line) {
  out_ += line;
  writer_.cancel();
}

void BulkRun::refuse(std::string_view why) {
  emit(refused_line(fmt::format("bulk_req_{}", ++written_), why));
}

}  // namespace batchproxy
