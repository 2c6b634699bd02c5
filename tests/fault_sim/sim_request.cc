// tests/fault_sim/sim_request.cc - see sim_request.h.
#include "tests/fault_sim/sim_request.h"

#include <algorithm>
#include <utility>

#include "backends/model_table.h"
#include "proxy/request/ticket_builder.h"

namespace batchproxy::fault_sim {

namespace {

const std::string& passage(std::uint32_t which) {
  static const std::vector<std::string> passages{std::string(2000, 'a'), std::string(2000, 'b'),
                                                 std::string(2000, 'c')};
  return passages[which];
}

}  // namespace

SimRequest::SimRequest(SimThread& thread, Ask ask, std::function<void(Finish)> ended)
    : thread_(thread), ask_(std::move(ask)), arrival_(thread.time.now()), ended_(std::move(ended)) {
  thread_.metrics.received.add();
  phase_.emplace(thread_.metrics);
}

void SimRequest::serve() {
  if (thread_.shutting_down) return finish(Finish::kShed);
  if (!thread_.poison->empty() && thread_.poison->contains(ask_.number, arrival_)) {
    return finish(finish_of(Errc::kKnownPoison));
  }
  const ModelTable& models = *thread_.models;
  const BackendSet backends = models.find(ask_.model);
  if (backends.empty() && models.complete()) {
    check_unknown_model();
    return finish(finish_of(Errc::kUnknownModel));
  }
  for (const std::uint32_t prompts : ask_.pieces) {
    SimJob& job = jobs_.emplace_back(thread_, *phase_, ask_.marker, ask_.number);
    Ticket& ticket = job.ticket();
    ticket.arrival = arrival_;
    ticket.deadline = arrival_ + ask_.timeout;
    ticket.model = text_key(ask_.model);
    ticket.routes = models.version();
    ticket.backends = backends;
    ticket.prompts = prompts;
    ticket.streaming = ask_.streaming;
    ticket.client = ask_.client;
    ticket.tokens = 500 * prompts;
    if (ask_.merges) {
      ticket.mergeable = Mergeable::kCompletion;
      ticket.short_answer = true;
      ticket.identity = ticket.model + 1;
    }
    if (ask_.passage) ticket.prefix = PrefixChain(passage(*ask_.passage), ticket.model);
  }
  left_ = jobs_.size();
  for (SimJob& job : jobs_) {
    job.run([this, &job](SimJob::Ending outcome) { on_done(job, outcome); },
            [this](bool ok) { finish(ok ? Finish::kOk : Finish::kBackendError); });
  }
}

void SimRequest::on_client_gone() {
  client_gone_ = true;
  cancel_jobs();
}

void SimRequest::cancel_jobs() {
  if (finished_) return;
  cancelled_ = true;
  for (SimJob& job : jobs_) job.cancel(client_gone_);
}

// run_piece() and what follows it; a request that goes out whole is a list of one.
void SimRequest::on_done(SimJob& job, SimJob::Ending outcome) {
  if (outcome == SimJob::Ending::kStream) return;  // its end ends the request
  const bool good = outcome == SimJob::Ending::kAnswer && job.status() == 200;
  const bool patient = ask_.timeout == Ask::kLong;
  if (outcome != SimJob::Ending::kCancelled) job.check_ending(outcome, patient);
  if (outcome == SimJob::Ending::kFailed && job.error() == Errc::kUnknownModel)
    check_unknown_model();
  if (outcome == SimJob::Ending::kCancelled && !cancelled_ && !list_failed_) {
    throw Violation("cancelled by nobody");
  }
  if (!good && !list_failed_) {
    list_failed_ = true;
    verdict_ = outcome == SimJob::Ending::kAnswer   ? finish_of_status(job.status())
               : outcome == SimJob::Ending::kFailed ? finish_of(job.error())
                                                    : Finish::kShed;
    for (SimJob& other : jobs_) {
      if (&other != &job) other.cancel();
    }
  }
  if (--left_ > 0) return;
  // From the event loop, as the jobs of a list do.
  thread_.time.after(Duration::zero(), [this] {
    finish(client_gone_ ? Finish::kClientGone : cancelled_ ? Finish::kShed : verdict_);
  });
}

void SimRequest::check_unknown_model() const {
  if (ask_.model != "b") throw Violation("the model of all servers is called unknown");
}

void SimRequest::finish(Finish how) {
  if (std::exchange(finished_, true)) throw Violation("a request ends twice");
  if (client_gone_) how = Finish::kClientGone;
  unsigned killed = 0;
  for (const SimJob& job : jobs_) killed += job.engines_killed();
  if (killed > 4 * std::max<std::size_t>(jobs_.size(), 1)) throw Violation("too many deaths");
  thread_.metrics.count_finish(how);
  phase_.reset();
  thread_.time.note("request {} ends: {}", ask_.number, to_string(how));
  ended_(how);
}

}  // namespace batchproxy::fault_sim
