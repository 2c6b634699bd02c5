// proxy/request/list_request.h - ListRequest: a client's long list of prompts, in pieces that go to
// all backends, a job each, and come back as one answer.
//
// One wrong piece makes the whole answer wrong: then the others are not waited for, and the client
// gets what that piece got.
//
// Threading: confined to one I/O thread.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "backends/json/body_scan.h"
#include "backends/net/waiter.h"
#include "proxy/request/job.h"
#include "proxy/request/reply_writer.h"

namespace batchproxy {

class ListRequest {
 public:
  // Whether `scan` is of such a list, of a request that `backends` may serve.
  static bool is_one(const BodyPolicy& policy, const ClientRequest& request, const BodyScan& scan,
                     BackendSet backends);

  // Everything must outlive it.
  ListRequest(IoThread& thread, ReplyWriter& reply, RequestPhase& phase, RequestTrace& trace,
              const ClientRequest& request)
      : thread_(thread), reply_(reply), phase_(phase), trace_(trace), request_(request) {}
  ListRequest(const ListRequest&) = delete;
  ListRequest& operator=(const ListRequest&) = delete;

  // Cuts the list. `like`: what the tickets of all pieces have in common. An error when the list
  // cannot be served.
  std::optional<Error> prepare(const BodyScan& scan, const Ticket& like);
  // Until every piece has ended, well or not.
  Task<void> run();
  // Every piece comes to an end soon. May be called at any time.
  void cancel(bool client_left);
  // Behind run(): writes the answer, or what stands for it.
  Task<Finish> answer();

 private:
  struct Piece {
    std::uint32_t first_prompt = 0;
    std::optional<Job> job;
    Job::Ending ending = Job::Ending::kFailed;
    bool is_good() const { return ending == Job::Ending::kAnswer && job->answer().status == 200; }
  };
  void add_piece(const BodyScan& scan, const Ticket& like,
                 std::span<const std::string_view> prompts, std::size_t first);
  Task<void> run_piece(Piece& piece);
  const Piece* find_failure();
  std::optional<std::string> gather();
  Provenance sources();
  Task<Finish> send(const Job& from, std::string body, Provenance who, std::uint32_t prompts);

  IoThread& thread_;
  ReplyWriter& reply_;
  RequestPhase& phase_;
  RequestTrace& trace_;
  const ClientRequest& request_;
  std::uint32_t prompts_ = 0;
  std::uint32_t choices_ = 1;  // asked for per prompt
  std::vector<std::unique_ptr<Piece>> pieces_;
  std::string names_;     // of all backends that have answered
  std::size_t left_ = 0;  // under way
  bool failed_ = false;
  Waiter done_;
};

}  // namespace batchproxy
