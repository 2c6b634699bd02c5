// proxy/jobs/recorder.cc - see recorder.h.
#include "proxy/jobs/recorder.h"

#include <chrono>
#include <deque>
#include <filesystem>
#include <map>
#include <optional>
#include <system_error>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <fmt/format.h>
#include <spdlog/spdlog.h>

namespace batchproxy {

namespace {

namespace asio = boost::asio;

constexpr auto kQuiet = std::chrono::minutes(1);  // between two complaints
constexpr auto kOver = std::chrono::minutes(10);  // a job that asks nothing for so long is over
constexpr std::size_t kMostJobs = 1000;           // that are counted

}  // namespace

// Who asks what, and what is not written yet.
class Recorder::Desk {
 public:
  Desk(std::string path, std::atomic<std::uint64_t>& lost) : path_(std::move(path)), lost_(lost) {}

  void find(RecordKey key, Tell tell) {
    JobCount& job = job_of(key);
    job.last = std::chrono::steady_clock::now();
    if (const auto waiting = asked_.find(key); waiting != asked_.end()) {
      waiting->second.push_back(std::move(tell));
      return;
    }
    RecordedPtr answer = look_up(key);
    ++(answer == nullptr ? job.under_way : job.replayed);
    if (answer == nullptr) asked_.emplace(std::move(key), std::deque<Tell>{});
    tell(std::move(answer));
  }

  void finish(RecordKey key, RecordedPtr answer) {
    const auto asked = asked_.find(key);
    if (asked == asked_.end()) return;
    std::deque<Tell>& waiting = asked->second;
    if (answer == nullptr && !waiting.empty()) {
      const Tell next = std::move(waiting.front());
      waiting.pop_front();
      next(nullptr);
      return;
    }
    JobCount& job = job_of(key);
    if (job.under_way > 0) --job.under_way;  // it may not have been counted when it began
    if (answer != nullptr) ++job.recorded;
    if (answer != nullptr) job.replayed += waiting.size();
    for (const Tell& tell : waiting) tell(answer);
    asked_.erase(asked);
    if (answer != nullptr) unwritten_.emplace(std::move(key), std::move(answer));
  }

  std::vector<RecordedJob> jobs() {
    const auto now = std::chrono::steady_clock::now();
    std::erase_if(jobs_, [now](const auto& entry) {
      return entry.second.under_way == 0 && now - entry.second.last > kOver;
    });
    std::vector<RecordedJob> jobs;
    for (const auto& [whose, job] : jobs_) {
      jobs.push_back({whose.first, whose.second, job.recorded, job.replayed, job.under_way,
                      now - job.last});
    }
    return jobs;
  }

  bool must_write() const { return !unwritten_.empty(); }

  void write() {
    std::vector<std::pair<RecordKey, RecordedPtr>> answers(unwritten_.begin(), unwritten_.end());
    try {
      if (store() != nullptr)
        store_->add(answers);
      else
        lost_.fetch_add(answers.size(), std::memory_order_relaxed);
    } catch (const LedgerError& error) {
      lost_.fetch_add(answers.size(), std::memory_order_relaxed);
      complain(error.what());
    }
    unwritten_.clear();
  }

 private:
  struct JobCount {
    std::uint64_t recorded = 0, replayed = 0, under_way = 0;
    std::chrono::steady_clock::time_point last{};
  };

  // Names come from clients: beyond so many they are counted together, and not shown.
  JobCount& job_of(const RecordKey& key) {
    std::pair whose(key.owner, key.job);
    const auto known = jobs_.find(whose);
    if (known != jobs_.end()) return known->second;
    return jobs_.size() < kMostJobs ? jobs_[std::move(whose)] : uncounted_;
  }

  RecordedPtr look_up(const RecordKey& key) {
    if (const auto fresh = unwritten_.find(key); fresh != unwritten_.end()) return fresh->second;
    try {
      return store() == nullptr ? nullptr : store_->find(key);
    } catch (const LedgerError& error) {
      complain(error.what());
      return nullptr;
    }
  }

  // Null while it cannot be opened, which is tried again from time to time.
  RecordStore* store() {
    const auto now = std::chrono::steady_clock::now();
    if (store_ || (tried_ && now - *tried_ < kQuiet)) return store_ ? &*store_ : nullptr;
    tried_ = now;
    if (path_.empty()) {
      complain("neither batchproxy.jobs.directory nor HOME is set");
      return nullptr;
    }
    try {
      const std::filesystem::path folder = std::filesystem::path(path_).parent_path();
      std::error_code failed;
      const bool made = std::filesystem::create_directories(folder, failed);
      if (made) std::filesystem::permissions(folder, std::filesystem::perms::owner_all, failed);
      if (failed) {
        complain(fmt::format("the folder {} (batchproxy.jobs.directory) cannot be made: {}",
                             folder.string(), failed.message()));
        return nullptr;
      }
      store_.emplace(path_);
    } catch (const LedgerError& error) {
      complain(error.what());
    }
    return store_ ? &*store_ : nullptr;
  }

  void complain(const std::string& why) {
    const auto now = std::chrono::steady_clock::now();
    if (complained_ && now - *complained_ < kQuiet) return;
    complained_ = now;
    spdlog::error("answers of recorded requests are passed on, but not recorded: {}", why);
  }

  const std::string path_;
  std::atomic<std::uint64_t>& lost_;
  std::optional<RecordStore> store_;
  std::optional<std::chrono::steady_clock::time_point> tried_;
  std::optional<std::chrono::steady_clock::time_point> complained_;
  // A backend is asked for these, and so many wait for its answer.
  std::unordered_map<RecordKey, std::deque<Tell>, RecordKeyHash> asked_;
  std::unordered_map<RecordKey, RecordedPtr, RecordKeyHash> unwritten_;
  std::map<std::pair<std::string, std::string>, JobCount> jobs_;  // by owner and name
  JobCount uncounted_;
};

class Recorder::Loop {
 public:
  explicit Loop(Desk& desk)
      : desk_(desk), work_(io_.get_executor()), thread_([this] { io_.run(); }) {}
  ~Loop() {
    work_.reset();
    thread_.join();
  }
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  template <class Act>
  void post(Act act) {
    asio::post(io_, [this, act = std::move(act)]() mutable {
      act();
      if (desk_.must_write() && !std::exchange(will_write_, true)) {
        // Behind what has come in meanwhile, which goes with it.
        asio::post(io_, [this] {
          will_write_ = false;
          desk_.write();
        });
      }
    });
  }

 private:
  Desk& desk_;
  asio::io_context io_{1};
  asio::executor_work_guard<asio::io_context::executor_type> work_;
  bool will_write_ = false;
  std::thread thread_;  // last: it runs the others
};

Recorder::Recorder(std::string path)
    : desk_(std::make_unique<Desk>(std::move(path), lost_)),
      loop_(std::make_unique<Loop>(*desk_)) {}

Recorder::~Recorder() = default;

void Recorder::find(RecordKey key, Tell tell) {
  loop_->post([this, key = std::move(key), tell = std::move(tell)]() mutable {
    desk_->find(std::move(key), std::move(tell));
  });
}

void Recorder::look_at_jobs() {
  loop_->post([this] {
    std::vector<RecordedJob> jobs = desk_->jobs();
    const std::lock_guard lock(jobs_mutex_);
    jobs_ = std::move(jobs);
  });
}

std::vector<RecordedJob> Recorder::jobs() const {
  const std::lock_guard lock(jobs_mutex_);
  return jobs_;
}

void Recorder::finish(RecordKey key, RecordedPtr answer) {
  loop_->post([this, key = std::move(key), answer = std::move(answer)]() mutable {
    desk_->finish(std::move(key), std::move(answer));
  });
}

}  // namespace batchproxy
