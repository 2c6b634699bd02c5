// proxy/request/merge_core.h - MergeCore: decides which members of a merged call are asked for
// together, and what each of them is told.
//
//   all ─▶ kCall ─ refused for the sake of one? ─▶ kHalve: halves, then halves of these
//              ├── the answer cannot be taken apart ─▶ kScatter: each by itself
//              └── kHandOut, kShare or kFail: all of group() are told, and are done with
//
// Only the guilty sees an error, and every member is told exactly once.
//
// Sans-io: MergedCall (proxy/request/merged_call.h) drives it with sockets, tests/fault_sim in
// virtual time. Members are numbers: the leader is 0.
//
// Threading: confined to the leader's I/O thread.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "backends/call/call_failure.h"
#include "batcher/base/backend_set.h"
#include "batcher/base/time.h"

namespace batchproxy {

class MergeCore {
 public:
  using Member = std::uint32_t;
  using Group = std::vector<Member>;

  // The driver's next step, and what it then calls.
  enum class Do : std::uint8_t {
    kCall,     // make one call for group(): on_answer() or on_failed()
    kUnpack,   // take the answer apart: on_unpacked()
    kHalve,    // count it, then go_on()
    kScatter,  // likewise
    kHandOut,  // tell each of group() its part of the answer, then go_on()
    kShare,    // tell each of group() the answer as it is, then go_on()
    kFail,     // tell each of group() failure(), then go_on()
    kEnd,      // everybody has been told
  };

  struct MemberFacts {
    TimePoint deadline{};
    bool fits = true;  // what goes out differs from the leader's in its prompt alone
  };

  // `others`: backends that could be asked instead.
  MergeCore(const std::vector<MemberFacts>& members, BackendSet others);

  // The next group; who has left must have been told before. To begin with, and where Do says so.
  Do go_on();
  // `says_dead`: the answer says that its engine has ended.
  Do on_answer(unsigned status, bool says_dead);
  Do on_unpacked(bool ok);
  Do on_failed(CallFailure how, TimePoint now);
  // The driver cannot go on: group() is everybody who has not been told.
  Do give_up(CallFailure how);

  // True the first time: then it is to be told.
  bool tell(Member member) { return !std::exchange(members_[member].told, true); }
  // The member does not want its answer any more.
  void on_left(Member member) { members_[member].left = true; }
  bool is_told(Member member) const { return members_[member].told; }

  // The backend stands still. True if the call is to be ended: members are then asked anew, each
  // by itself, if anybody else can be. `ready`: backends that are there.
  bool on_stuck(BackendSet ready);
  // Whether anybody of group() still wants its answer: otherwise the engine need not go on.
  bool is_wanted() const;

  const Group& group() const { return group_; }
  TimePoint deadline() const;  // the soonest in group()
  CallFailure failure() const { return failure_; }
  // Whether the monitor is to be told of such an end.
  static bool looks_gone(CallFailure how);

 private:
  struct State {
    TimePoint deadline{};
    bool left = false;
    bool told = false;
  };

  Do halve();
  Do scatter();

  std::vector<State> members_;
  std::vector<Group> groups_;  // still to be called, the next one last
  Group group_;
  const BackendSet others_;
  bool stuck_ = false;
  CallFailure failure_ = CallFailure::kNone;
};

}  // namespace batchproxy
