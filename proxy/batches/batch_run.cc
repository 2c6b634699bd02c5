// proxy/batches/batch_run.cc - see batch_run.h.
#include "proxy/batches/batch_run.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>
#include <vector>

#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include "backends/net/descriptor.h"
#include "backends/questions/line_reader.h"
#include "proxy/batches/batch_lines.h"
#include "proxy/files/wall_clock.h"

namespace batchproxy {

namespace {

constexpr int kLinesAtOnce = 500;  // between two turns of the others on this thread
constexpr std::size_t kPiece = 1 << 20;
constexpr Duration kPause = std::chrono::seconds(5);  // when no engine has answered for minutes

}  // namespace

// The batch's file, and what its lines ask.
class BatchRun::Input {
 public:
  Input(const JobStore& store, const StoredBatch& batch)
      : file_(::open(store.file_path(batch.input_file).c_str(), O_RDONLY | O_CLOEXEC)),
        reader_(file_.get(), batch.input_file),
        intake_(batch.input_file, batch.endpoint) {
    if (file_.get() < 0) {
      throw LedgerError(fmt::format("the input file {} of {} cannot be read: {}", batch.input_file,
                                    batch.id, std::strerror(errno)));
    }
  }

  // Reads a line: false at the end. `question` is nothing when the line has none.
  bool next(std::optional<Question>& question) {
    question.reset();
    switch (reader_.next(line_)) {
      case LineReader::Got::kLine:
        question = intake_.take(line_, reader_.number());
        return true;
      case LineReader::Got::kTooLong:
        intake_.too_long(reader_.number());
        return true;
      case LineReader::Got::kEnd:
        break;
    }
    return false;
  }
  std::int64_t number() const { return reader_.number(); }
  BatchIntake& intake() { return intake_; }

 private:
  const Descriptor file_;
  LineReader reader_;
  BatchIntake intake_;
  std::string line_;
};

// A file that is being made; begun with its first line.
class BatchRun::Output {
 public:
  Output(const JobStore& store, const StoredBatch& batch, std::string_view kind)
      : store_(store), filename_(fmt::format("{}_{}.jsonl", batch.id, kind)), owner_(batch.owner) {}

  ~Output() {
    if (!id_.empty()) ::unlink(store_.upload_path(id_).c_str());  // unless it has become a file
  }
  Output(const Output&) = delete;
  Output& operator=(const Output&) = delete;

  void add(std::string_view line) {
    buffer_ += line;
    bytes_ += static_cast<std::int64_t>(line.size());
    if (buffer_.size() >= kPiece) flush();
  }

  // Nothing when it has no line.
  std::optional<StoredFile> finish() {
    if (bytes_ == 0) return std::nullopt;
    flush();
    return StoredFile{id_, owner_, filename_, "batch_output", bytes_, seconds_now()};
  }

 private:
  void flush() {
    if (file_.get() < 0) {
      id_ = new_id("file-");
      file_ = Descriptor(
          ::open(store_.upload_path(id_).c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
    }
    for (std::string_view rest = buffer_; !rest.empty();) {
      const ssize_t wrote = ::write(file_.get(), rest.data(), rest.size());
      if (wrote < 0 && errno == EINTR) continue;
      if (wrote < 0) {
        throw LedgerError(fmt::format("{} cannot be written: {}", filename_, std::strerror(errno)));
      }
      rest.remove_prefix(static_cast<std::size_t>(wrote));
    }
    buffer_.clear();
  }

  const JobStore& store_;
  const std::string filename_;
  const std::string owner_;
  Descriptor file_;
  std::string id_;
  std::string buffer_;
  std::int64_t bytes_ = 0;
};

BatchRun::BatchRun(asio::io_context& io, JobStore& store, StoredBatch batch, AskerSettings settings)
    : io_(io),
      store_(store),
      batch_(std::move(batch)),
      settings_(std::move(settings)),
      expiry_(io.get_executor()),
      pause_(io.get_executor()) {}

BatchRun::~BatchRun() = default;

void BatchRun::set(BatchStatus status) {
  batch_.status = status;
  const std::int64_t now = seconds_now();
  switch (status) {
    case BatchStatus::kInProgress:
      batch_.in_progress_at = now;
      break;
    case BatchStatus::kFinalizing:
      batch_.finalizing_at = now;
      break;
    case BatchStatus::kCompleted:
      batch_.completed_at = now;
      break;
    case BatchStatus::kFailed:
      batch_.failed_at = now;
      break;
    case BatchStatus::kExpired:
      batch_.expired_at = now;
      break;
    case BatchStatus::kCancelling:
      batch_.cancelling_at = now;
      break;
    case BatchStatus::kCancelled:
      batch_.cancelled_at = now;
      break;
    case BatchStatus::kValidating:
    case BatchStatus::kCount:
      break;
  }
}

Task<void> BatchRun::give_way() {
  co_await asio::post(io_.get_executor(), use_task);
}

void BatchRun::end_asking(BatchStatus outcome) {
  ending_ = true;
  batch_.outcome = outcome;
  if (asker_) asker_->stop();
  pause_.cancel();
}

void BatchRun::cancel() {
  if (batch_.status == BatchStatus::kFinalizing || ending_) return;
  set(BatchStatus::kCancelling);
  batch_.outcome = BatchStatus::kCancelled;
  store_.update_batch(batch_);
  end_asking(BatchStatus::kCancelled);
}

void BatchRun::drain() {
  draining_ = true;
  if (asker_) asker_->stop();
  pause_.cancel();
}

void BatchRun::end_at_expiry() {
  const std::int64_t left = std::max<std::int64_t>(0, batch_.expires_at - seconds_now());
  expiry_.expires_after(std::chrono::seconds(left));
  expiry_.async_wait([this](const ErrorCode& error) {
    if (error || stopped()) return;
    end_asking(BatchStatus::kExpired);
    if (asker_) asker_->abandon();
  });
}

Task<void> BatchRun::run() {
  if (batch_.status == BatchStatus::kCancelling) ending_ = true;
  end_at_expiry();
  ledger_.emplace(store_.ledger_path(batch_.id));
  count();
  if (batch_.status == BatchStatus::kValidating) co_await validate();
  if (batch_.status == BatchStatus::kInProgress) co_await ask();
  expiry_.cancel();
  // A drain leaves what is not read yet, or still waits, to the next run.
  const bool is_read = batch_.status != BatchStatus::kValidating;
  const bool all_asked = is_read && ledger_->counts().waiting == 0;
  // Its time was up as the last answer came.
  if (batch_.outcome == BatchStatus::kExpired && all_asked) {
    batch_.outcome = BatchStatus::kCompleted;
  }
  const bool goes_on = draining_ && (!is_read || (!ending_ && !all_asked));
  if (!describe(batch_.status).over && !goes_on) co_await finalize();
}

// Reads all lines into the ledger, as one transaction. One that expires meanwhile is read to its
// end, as each of its requests is told so.
Task<void> BatchRun::validate() {
  const auto is_over = [this] { return draining_ || batch_.status == BatchStatus::kCancelling; };
  Input input(store_, batch_);
  Ledger::Reading reading(*ledger_);
  std::optional<Question> question;
  for (bool more = input.next(question); more; more = input.next(question)) {
    if (is_over()) co_return;
    if (question) {
      const std::string hash = hash_of_body(question->body);
      const auto first = reading.note(question->key, hash, input.number());
      if (first) input.intake().duplicate(input.number(), question->key, *first);
    }
    if (input.number() % kLinesAtOnce == 0) co_await give_way();
  }
  input.intake().finish();
  if (is_over()) co_return;
  if (!input.intake().ok()) {
    batch_.errors = input.intake().errors();
    set(BatchStatus::kFailed);
    store_.finish_batch(batch_, {});
    co_return;
  }
  reading.commit();
  batch_.counts.total = input.intake().requests();
  set(BatchStatus::kInProgress);
  store_.update_batch(batch_);
}

void BatchRun::count() {
  const LedgerCounts counts = ledger_->counts();
  batch_.counts.completed = counts.answered;
  batch_.counts.failed = counts.failed;
}

bool BatchRun::read_questions(Input& input, std::vector<Question>& into, std::size_t at_most) {
  std::optional<Question> question;
  for (int lines = 0; lines < kLinesAtOnce && into.size() < at_most; ++lines) {
    if (!input.next(question)) return false;
    if (question && ledger_->state_of(question->key) == ItemState::kWaiting) {
      into.push_back(*std::move(question));
    }
  }
  return true;
}

void BatchRun::record(const std::vector<ItemOutcome>& outcomes) {
  ledger_->record(outcomes);
  for (const ItemOutcome& outcome : outcomes) {
    ++(outcome.state == ItemState::kAnswered ? batch_.counts.completed : batch_.counts.failed);
  }
}

Task<void> BatchRun::ask() {
  while (!stopped()) {
    Input input(store_, batch_);
    asker_ = std::make_unique<Asker>(
        io_, settings_,
        [this, &input](std::vector<Question>& into, std::size_t at_most) {
          return read_questions(input, into, at_most);
        },
        [this](const std::vector<ItemOutcome>& outcomes) { record(outcomes); });
    co_await asker_->run();
    const Asker::Ending how = asker_->ending();
    asker_.reset();
    if (how != Asker::Ending::kGaveUp) co_return;
    // Engines may be away for longer than a run has patience: the batch has until it expires.
    ErrorCode woken;
    pause_.expires_after(kPause);
    co_await pause_.async_wait(asio::redirect_error(use_task, woken));
  }
}

Task<void> BatchRun::finalize() {
  if (batch_.status != BatchStatus::kCancelling) set(BatchStatus::kFinalizing);
  store_.update_batch(batch_);
  Output output(store_, batch_, "output");
  Output errors(store_, batch_, "errors");
  const std::string prefix = "batch_req_" + batch_.id.substr(batch_.id.find('_') + 1);
  std::int64_t next = 0;
  for (int walked = kLinesAtOnce; walked == kLinesAtOnce;) {
    walked = 0;
    ledger_->walk(next, [&](const LedgerItem& item) {
      const std::string id = fmt::format("{}_{}", prefix, item.position);
      next = item.position + 1;
      switch (item.outcome.state) {
        case ItemState::kAnswered:
          output.add(batch_line(id, item.outcome));
          break;
        case ItemState::kFailed:
          errors.add(batch_line(id, item.outcome));
          break;
        case ItemState::kWaiting:
          if (batch_.outcome == BatchStatus::kExpired) {
            errors.add(expired_line(id, item.outcome.key));
          }
          break;
      }
      return ++walked < kLinesAtOnce;
    });
    co_await give_way();
  }
  std::vector<StoredFile> files;
  if (const auto file = output.finish()) {
    batch_.output_file = file->id;
    files.push_back(*file);
  }
  if (const auto file = errors.finish()) {
    batch_.error_file = file->id;
    files.push_back(*file);
  }
  ledger_.reset();
  set(batch_.outcome);
  store_.finish_batch(batch_, files);
}

}  // namespace batchproxy
