// proxy/request/request_handler.h - RequestHandler: one client's request from its arrival to the
// end of its answer.
//
//   scan the body ─▶ one job ────────────────────────▶ answer, or stream, or error
//               └──▶ a long list: a job per piece ────▶ gather ─┘
//
// Exactly one answer is written, whatever happens, unless the client leaves first.
//
// Threading: confined to one I/O thread.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include "backends/net/connection.h"
#include "backends/net/waiter.h"
#include "proxy/jobs/record_store.h"
#include "proxy/request/answer_tap.h"
#include "proxy/request/job.h"
#include "proxy/request/list_request.h"
#include "proxy/request/reply_writer.h"
#include "proxy/thread/io_thread.h"
#include "proxy/trace/request_trace.h"
#include "proxy/wire/client_request.h"

namespace batchproxy {

class RequestHandler final {
 public:
  // `trace` is told how it goes, and outlives it.
  RequestHandler(IoThread& thread, Connection& client, const ClientRequest& request,
                 RequestTrace& trace);
  // For one of several calls that answer a client's request. `tap`, which outlives it, sees what
  // comes whole. Whoever makes them counts the request as received; the last counts how it ends.
  RequestHandler(IoThread& thread, Connection& client, const ClientRequest& request,
                 RequestTrace& trace, AnswerTap& tap);
  RequestHandler(const RequestHandler&) = delete;
  RequestHandler& operator=(const RequestHandler&) = delete;

  // Answers the request. True when the client's connection can be used again.
  Task<bool> run();
  // The same, with what was recorded.
  Task<bool> replay(const Recorded& answer);
  // Before run(): a good answer, if it comes whole, is copied to `answer`.
  void record_in(Recorded& answer) { reply_.record_in(answer); }
  // Ends it with an error, because batchproxy itself does.
  void cut_short();

 private:
  // How it is served.
  enum class Way : std::uint8_t {
    kWhole,         // by job_
    kList,          // by list_
    kLookForModel,  // once it is known anew who serves what
    kRefused,       // with refusal_
    kClientGone,    // not at all
  };

  Way prepare();
  Result<Way> plan();
  Result<BodyScan> scan();
  BodyScan scan_of_form() const;
  std::optional<Error> describe(const BodyScan& scan, Ticket& ticket);
  void note_model(std::string_view name, bool is_routed);
  void prepare_whole(const BodyScan& scan, const Ticket& like);
  Task<void> look_for_model();

  Task<Finish> serve_otherwise(Way way);
  Task<Finish> serve_list();
  Task<Finish> answer(Job::Ending ending);
  Task<Finish> answer_whole();
  Task<Finish> answer_tapped();
  Task<Finish> send_whole(const AnswerHead& head, std::string_view body);
  Task<Finish> answer_stream();
  Task<Finish> answer_cancelled();

  bool end(Finish finish);
  void count(Finish finish, TimePoint now);

  void on_client_gone();
  void cancel(bool client_left);

  IoThread& thread_;
  Connection& client_;
  const ClientRequest& request_;
  RequestTrace& trace_;
  ModelCounts* model_ = nullptr;  // null: it has named none
  AnswerTap* tap_ = nullptr;  // null: the client alone sees its answer
  RequestPhase phase_;
  ReplyWriter reply_;
  std::optional<Job> job_;             // of a request that goes out whole
  std::unique_ptr<ListRequest> list_;  // of one that does not
  std::unique_ptr<Error> refusal_;
  Waiter looked_;  // for its model
  bool has_looked_ = false;
  bool client_gone_ = false;
  bool kept_ = false;  // by the tap: the client waits on
};

}  // namespace batchproxy
