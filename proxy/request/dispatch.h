// proxy/request/dispatch.h - Dispatch: one client's request from its arrival to the end of its
// answer.
//
//   scan the body ─▶ one job ────────────────────────▶ answer, or stream, or error
//               └──▶ a long list: a job per piece ────▶ gather ─┘
//
// Exactly one answer is written, whatever happens, unless the client leaves first.
//
// Threading: confined to one I/O thread.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "backends/net/connection.h"
#include "backends/net/waiter.h"
#include "proxy/request/io_thread.h"
#include "proxy/request/job.h"
#include "proxy/wire/client_request.h"
#include "proxy/wire/event_cutter.h"
#include "proxy/wire/reply.h"

namespace batchproxy {

class Dispatch final {
 public:
  Dispatch(IoThread& thread, Connection& client, const ClientRequest& request);
  Dispatch(const Dispatch&) = delete;
  Dispatch& operator=(const Dispatch&) = delete;

  // Answers the request. True when the client's connection can be used again.
  Task<bool> run();
  // Ends it with an error, because batchproxy itself does.
  void cut_short();

 private:
  // A part of a client's list, with its own job.
  struct Piece {
    std::uint32_t first_prompt = 0;
    std::optional<Job> job;
    Job::Ending ending = Job::Ending::kFailed;
    bool is_good() const { return ending == Job::Ending::kAnswer && job->answer().status == 200; }
  };
  // A list that goes out in pieces.
  struct List {
    std::uint32_t prompts = 0;
    std::uint32_t choices = 1;  // asked for per prompt
    std::vector<std::unique_ptr<Piece>> pieces{};
    std::size_t left = 0;  // under way
    bool failed = false;
    Waiter done{};
  };

  std::optional<Task<Finish>> prepare();
  Task<Finish> look_for_model();
  Result<BodyScan> scan();
  BodyScan scan_of_form() const;
  std::optional<Error> describe(const BodyScan& scan, Ticket& ticket);
  void on_client_gone();
  void cancel_jobs(bool client_left = false);
  Task<Finish> answer_cancelled();

  void prepare_whole(const BodyScan& scan, const Ticket& like);
  Task<Finish> answer(Job::Ending ending);
  Task<Finish> answer_with(const Job& job);
  std::optional<Error> prepare_list(const BodyScan& scan, const Ticket& like);
  Task<Finish> serve_list();
  Task<void> run_piece(Piece& piece);
  Task<Finish> answer_list();
  Task<Finish> answer_like(const Piece& failed);

  // An answer of which the socket has not taken all.
  struct Unsent {
    std::string head;
    std::string_view body;
    std::size_t sent;  // bytes
  };
  std::unique_ptr<Unsent> send_answer(const AnswerHead& from, std::string_view body,
                                      const Provenance& who);
  Task<void> write_rest(const Unsent& unsent);
  Finish finish_answered(const AnswerHead& answer, std::uint32_t prompts);
  Task<Finish> answer_stream();
  Task<Finish> answer_streaming(Job& job);
  std::unique_ptr<Unsent> send_chunk(std::string_view bytes);
  Task<bool> write_client(std::string_view bytes);
  Task<void> end_broken_stream(const Error& error, bool event_may_follow);
  Task<Finish> refuse(const Error& error);
  Task<Finish> refuse(Errc why);
  Task<Finish> write_refusal(std::string answer, Finish finish);

  ReplyContext context();
  Provenance provenance(const Job& job) const;

  IoThread& thread_;
  Connection& client_;
  const ClientRequest& request_;
  RequestPhase phase_;
  std::uint64_t model_key_ = 0;
  std::optional<Job> job_;      // of a request that goes out whole
  std::unique_ptr<List> list_;  // of one that does not
  Waiter looked_;               // for its model
  bool has_looked_ = false;
  bool began_answer_ = false;
  bool client_gone_ = false;
  bool keep_alive_;
};

}  // namespace batchproxy
