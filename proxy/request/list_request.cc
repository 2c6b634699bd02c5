// proxy/request/list_request.cc - see list_request.h.
#include "proxy/request/list_request.h"

#include <algorithm>
#include <utility>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <spdlog/spdlog.h>

#include "proxy/request/ticket_builder.h"

namespace batchproxy {

bool ListRequest::is_one(const BodyPolicy& policy, const ClientRequest& request,
                         const BodyScan& scan, BackendSet backends) {
  return request.route->body == BodyKind::kCompletion && !request.uncut && scan.prompts > 1 &&
         !scan.streaming && scan.choices > 0 && policy.list_piece > 0 &&
         (backends.size() > 1 || scan.prompts > policy.list_piece);
}

// Contiguous, as even as can be, none longer than the bound, and enough to keep all backends busy.
std::optional<Error> ListRequest::prepare(const BodyScan& scan, const Ticket& like) {
  const auto prompts = thread_.scratch.scanner.elements(request_.body, scan.prompt);
  if (!prompts) return prompts.error();
  const std::size_t count = prompts->size();
  const std::size_t most = thread_.settings.bodies.list_piece;
  if (count > thread_.settings.bodies.max_list) {
    return Error{Errc::kQueueFull, "The list holds " + std::to_string(count) +
                                       " prompts, more than the whole queue "
                                       "(batchproxy.max_queue). Send them in several requests."};
  }
  prompts_ = scan.prompts;
  choices_ = scan.choices;
  const std::size_t pieces =
      std::max((count + most - 1) / most, std::min(count, like.backends.size()));
  const std::span<const std::string_view> all(*prompts);
  for (std::size_t i = 0; i < pieces; ++i) {
    const std::size_t begin = count * i / pieces;
    const std::size_t end = count * (i + 1) / pieces;
    add_piece(scan, like, all.subspan(begin, end - begin), begin);
  }
  return std::nullopt;
}

void ListRequest::add_piece(const BodyScan& scan, const Ticket& like,
                            std::span<const std::string_view> prompts, std::size_t first) {
  const BodyParts whole = BodyParts::cut(request_.body, scan.prompt);
  auto& piece = *pieces_.emplace_back(std::make_unique<Piece>());
  piece.first_prompt = static_cast<std::uint32_t>(first);
  // Its prompts stand next to each other in the client's body: nothing is copied.
  const char* begin = prompts.front().data();
  const char* end = prompts.back().data() + prompts.back().size();
  const std::string_view slice(begin, static_cast<std::size_t>(end - begin));
  const Job::Load load{&request_,
                       {whole.before, slice, whole.after},
                       false,
                       static_cast<std::uint32_t>(pieces_.size()),
                       scan.choices};
  piece.job.emplace(thread_, phase_, trace_, load);
  Ticket& ticket = piece.job->ticket();
  describe_prompt(thread_.settings.bodies, scan, like.model, request_, like,
                  {{}, prompts.front(), {}}, ticket);
  ticket.prompts = static_cast<std::uint32_t>(prompts.size());
  ticket.tokens *= ticket.prompts;
  ticket.mergeable = Mergeable::kNever;
}

Task<void> ListRequest::run() {
  left_ = pieces_.size();
  for (auto& piece : pieces_) {
    asio::co_spawn(thread_.net.io.get_executor(), run_piece(*piece), asio::detached);
  }
  if (left_ > 0) co_await done_.wait();
}

void ListRequest::cancel(bool client_left) {
  for (auto& piece : pieces_) piece->job->cancel(client_left);
}

Task<void> ListRequest::run_piece(Piece& piece) {
  bool failed = false;
  try {
    piece.ending = co_await piece.job->run();
  } catch (const std::exception& exception) {
    spdlog::error("internal error in request {}: {}", request_.id.text(), exception.what());
    failed = true;
  }
  // One answer is wrong: then the whole list's is, and the others need not be waited for.
  if ((failed || !piece.is_good()) && !std::exchange(failed_, true)) {
    for (auto& other : pieces_) {
      if (other.get() != &piece) other->job->cancel();
    }
  }
  // From the event loop: this coroutine must have ended before what it uses does.
  if (--left_ == 0) done_.wake_later(thread_.net.io.get_executor());
}

Task<Finish> ListRequest::answer() {
  if (const Piece* failed = find_failure()) {
    if (failed->ending == Job::Ending::kFailed) return reply_.refuse(failed->job->error());
    const Job& job = *failed->job;
    thread_.metrics.count_answered(job.backend().id);
    return send(job, std::string(job.body()), job.provenance(), job.ticket().prompts);
  }
  std::optional<std::string> body = gather();
  if (!body) {
    return reply_.refuse(error_of(Errc::kChoiceCountMismatch));
  }
  return send(*pieces_.front()->job, std::move(*body), sources(), prompts_);
}

// The first piece that is not good, but for those that were only cancelled because of another's
// failure. The good ones before it count as answered.
const ListRequest::Piece* ListRequest::find_failure() {
  for (const auto& piece : pieces_) {
    if (piece->is_good()) {
      thread_.metrics.count_answered(piece->job->backend().id);
    } else if (piece->ending != Job::Ending::kCancelled) {
      return piece.get();
    }
  }
  return nullptr;
}

// Nothing when they do not make a whole.
std::optional<std::string> ListRequest::gather() {
  std::vector<ListReader::Piece> answers;
  for (const auto& piece : pieces_) {
    if (!piece->is_good()) return std::nullopt;
    answers.push_back({piece->job->body(), piece->first_prompt, piece->job->ticket().prompts});
  }
  return thread_.scratch.list_reader.gather(answers, choices_);
}

// All who have answered, as one.
Provenance ListRequest::sources() {
  Provenance who = pieces_.front()->job->provenance();
  names_.clear();
  for (const auto& piece : pieces_) {
    const Job& job = *piece->job;
    who.attempts = std::max(who.attempts, job.attempts());
    if (names_.find(job.backend().name) != std::string::npos) continue;
    if (!names_.empty()) names_ += ", ";
    names_ += job.backend().name;
  }
  who.backend = names_;
  return who;
}

Task<Finish> ListRequest::send(const Job& from, std::string body, Provenance who,
                               std::uint32_t prompts) {
  const ReplyWriter::UnsentPtr unsent = reply_.send_answer(from.answer(), body, who);
  if (unsent) co_await reply_.write_rest(*unsent);
  co_return reply_.finish_answered(from.answer(), prompts);
}

}  // namespace batchproxy
