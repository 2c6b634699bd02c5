// proxy/jobs/asker.h - Asker: asks the questions of a job at a URL, with many connections at once.
//
// RunCore decides what is asked when, and what an answer means; the Asker reads, sends and waits.
// How it is used:
//
//   asio::io_context io(1);                    // its thread runs nothing that must not block
//   Asker asker(io, settings, source, record); // record: Ledger::record() and what follows it
//   asio::co_spawn(io.get_executor(), asker.run(), &end_on_error);
//   io.run();                                  // until asker.ending() says how it ended
//
// `source` and `record` are called on that thread and may block, as files and ledgers do. Outcomes
// come in groups, since each group costs a ledger one write to the disk: at most kGroup, none older
// than kGroupTime. Every question that was taken from the source comes back exactly once, as
// answered or failed, unless the run is stopped, gives up, or is abandoned: then the rest still
// waits.
//
// Threading: confined to its io_context's thread. It outlives run().
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <boost/asio/basic_waitable_timer.hpp>

#include "backends/call/http_client.h"
#include "backends/net/task.h"
#include "batcher/base/time.h"
#include "proxy/jobs/ledger.h"
#include "proxy/jobs/run_core.h"

namespace batchproxy {

struct AskerSettings {
  Url url{};
  HttpFields fields{};  // of each request's head
  RunLimits limits{};
  std::chrono::seconds patience = HttpClient::kPatience;  // for one answer
};

class Asker {
 public:
  static constexpr std::size_t kGroup = 512;
  static constexpr Duration kGroupTime = std::chrono::milliseconds(50);

  // Adds questions to `into`, about as many as it is asked for at most; false: there are no more.
  // It may add none and say true: then it is asked again when others have had their turn.
  using Source = std::function<bool(std::vector<Question>& into, std::size_t at_most)>;
  // What it throws ends the run, and leaves run().
  using Record = std::function<void(const std::vector<ItemOutcome>& outcomes)>;

  enum class Ending {
    kDone,     // all were asked, or as many as the limits allow
    kStopped,  // by stop() or abandon()
    kGaveUp,   // see RunCore::gives_up()
  };

  Asker(asio::io_context& io, AskerSettings settings, Source source, Record record);
  ~Asker();
  Asker(const Asker&) = delete;
  Asker& operator=(const Asker&) = delete;

  // Once.
  Task<void> run();
  Ending ending() const { return ending_; }

  // Asks nothing more. What is in flight is still answered and recorded.
  void stop();
  // Ends now; what is in flight still waits.
  void abandon();
  // The proxy is elsewhere, as one is that was started again.
  void move_to(Url url);

  std::size_t in_flight() const { return core_.in_flight(); }
  std::optional<TimePoint> away_since() const { return core_.away_since(); }
  // What the last try without an answer said; "" after an answer.
  const std::string& trouble() const { return trouble_; }

 private:
  struct Line;  // a connection
  using Timer =
      asio::basic_waitable_timer<std::chrono::steady_clock,
                                 asio::wait_traits<std::chrono::steady_clock>, IoExecutor>;

  Task<void> ask(std::unique_ptr<Line> line, Ask question);
  void take(Ask& question, HttpReply reply, TimePoint sent, std::int64_t sent_ms);
  bool read_on();
  void send_what_may_go();
  void record_outcomes();
  void hang_up();
  TimePoint next_look(bool more) const;
  void wake();

  asio::io_context& io_;
  Url url_;
  const HttpFields fields_;
  const std::chrono::seconds patience_;
  const Source source_;
  const Record record_;
  RunCore core_;
  Timer timer_;
  std::vector<std::unique_ptr<Line>> idle_;
  std::vector<Line*> busy_;
  std::vector<Question> read_;
  std::vector<ItemOutcome> outcomes_;
  TimePoint group_since_{};
  std::string trouble_;
  Ending ending_ = Ending::kDone;
  bool source_ended_ = false;
  bool abandoned_ = false;
};

// What one reply says of its item: everything but its state.
ItemOutcome outcome_of(const Ask& ask, HttpReply reply);

}  // namespace batchproxy
