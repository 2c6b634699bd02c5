// tests/fault_sim/sim_merged.cc - see sim_merged.h.
#include "tests/fault_sim/sim_merged.h"

#include <utility>

#include "tests/fault_sim/sim_job.h"

namespace batchproxy::fault_sim {

using Do = MergeCore::Do;

namespace {

std::vector<SimLeg*> members_of(SimLeg& leader) {
  std::vector<SimLeg*> members{&leader};
  for (Ticket* follower : leader.ticket().verdict.followers) {
    members.push_back(static_cast<SimLeg*>(follower->sink));
  }
  return members;
}

// Now and then the hash of what must be equal is so by chance.
std::vector<MergeCore::MemberFacts> facts_of(const std::vector<SimLeg*>& members, Dice& dice) {
  std::vector<MergeCore::MemberFacts> facts;
  for (SimLeg* member : members) {
    facts.push_back({member->ticket().deadline, member == members.front() || !dice.chance(2)});
  }
  return facts;
}

BackendSet others_of(const std::vector<SimLeg*>& members, BackendId backend) {
  BackendSet others;
  for (SimLeg* member : members) others = others | member->ticket().backends;
  others.erase(backend);
  return others;
}

}  // namespace

void SimMerged::start(SimThread& thread, SimLeg& leader) {
  thread.merged.push_back(std::make_shared<SimMerged>(thread, leader));
  thread.merged.back()->go_on();
}

SimMerged::SimMerged(SimThread& thread, SimLeg& leader)
    : thread_(thread),
      backend_(leader.ticket().verdict.backend),
      server_(thread.upstreams.at(backend_)),
      members_(members_of(leader)),
      core_(facts_of(members_, thread.dice), others_of(members_, backend_)) {
  thread_.in_flight.push_back(*this);
  thread_.time.after(250ms, [this] { look_now_and_then(); });
}

SimMerged::~SimMerged() = default;

void SimMerged::go_on() {
  look_for_members();
  obey(core_.go_on());
}

void SimMerged::obey(Do next) {
  switch (next) {
    case Do::kCall:
      return call();
    case Do::kUnpack:
      return obey(core_.on_unpacked(!thread_.dice.chance(3)));
    case Do::kHalve:
      thread_.metrics.split_calls.add();
      return go_on();
    case Do::kScatter:
      thread_.metrics.mismatched_calls.add();
      return go_on();
    case Do::kHandOut:
    case Do::kShare:
      tell_group(reply_);
      return go_on();
    case Do::kFail:
      tell_group({.failure = core_.failure()});
      return go_on();
    case Do::kEnd:
      ended_ = true;
      InFlight::unlink();
      for (MergeCore::Member i = 0; i < members_.size(); ++i) {
        if (!core_.is_told(i)) throw Violation("a member of a merged call is forgotten");
      }
      return;
  }
}

void SimMerged::call() {
  calling_ = true;
  const std::uint64_t call = ++calls_;
  thread_.time.note("a call for {} goes to {}", core_.group().size(), server_->name());
  thread_.time.after(thread_.dice.between(Duration(20us), Duration(1ms)), [this, call] {
    if (!calling_ || call != calls_) return;
    const bool taken = server_->take({call, this, marker(), false});
    if (!taken) on_reply(call, {.failure = CallFailure::kRefused});
  });
  thread_.time.at(thread_.attempt_deadline(core_.deadline()), [this, call] {
    if (!calling_ || call != calls_) return;
    server_->hang_up(this, call);
    on_reply(call, {.failure = CallFailure::kTimedOut});
  });
}

// What the server makes of it: one bad member is enough.
Marker SimMerged::marker() const {
  Marker worst = Marker::kInnocent;
  for (const MergeCore::Member member : core_.group()) {
    const Marker one = members_[member]->marker();
    if (one == Marker::kPoison || worst == Marker::kInnocent) worst = one;
  }
  return worst;
}

void SimMerged::on_reply(std::uint64_t call, const Reply& reply) {
  if (!calling_ || call != calls_) return;
  calling_ = false;
  reply_ = reply;
  if (reply.failure == CallFailure::kNone) {
    return obey(core_.on_answer(reply.status, reply.says_dead));
  }
  const Do next = core_.on_failed(reply.failure, thread_.time.now());
  if (MergeCore::looks_gone(core_.failure())) {
    thread_.report_failure(backend_, reply.failure == CallFailure::kRefused);
  }
  obey(next);
}

void SimMerged::on_killed_engine() {
  for (const MergeCore::Member member : core_.group()) {
    if (members_[member]->marker() == Marker::kPoison) return members_[member]->on_killed_engine();
  }
}

void SimMerged::tell_group(const Reply& reply) {
  for (const MergeCore::Member member : core_.group()) {
    if (!core_.tell(member)) throw Violation("a member of a merged call is told twice");
    members_[member]->fill(thread_, reply);
  }
}

void SimMerged::abort() {
  server_->hang_up(this, calls_);
  on_reply(calls_, {.failure = CallFailure::kAborted});
}

void SimMerged::look_for_members() {
  for (MergeCore::Member i = 0; i < members_.size(); ++i) {
    if (!core_.is_told(i) && members_[i]->core().is_cancelled()) core_.on_left(i);
  }
}

void SimMerged::look_now_and_then() {
  if (ended_) return;
  look_for_members();
  if (calling_ && !core_.is_wanted()) abort();
  if (!ended_) thread_.time.after(250ms, [this] { look_now_and_then(); });
}

void SimMerged::on_stuck() {
  if (calling_ && core_.on_stuck(thread_.ready)) abort();
}

}  // namespace batchproxy::fault_sim
