// launcher/process/group_guard.h - GroupGuard: ends groups of processes when we die in any way.
//
// The kernel can tell a child of ours that we have died (PR_SET_PDEATHSIG), but not the children of
// that child: those of a `sh -c`, say. So a process of our own program holds the other end of a
// pipe. When the pipe closes, it sends SIGTERM to all groups that are guarded, and SIGKILL to what
// is left of them after the grace.
//
// It is started for the first group. What has left its group (a daemon) is not guarded.
//
// Threading: one thread; GuardNote::write() also in a child behind a fork.
#pragma once

#include <string>

#include <sys/types.h>

#include "backends/net/descriptor.h"
#include "configs/schema/key.h"

namespace batchproxy {

// What the guard is told, in one write.
struct GuardNote {
  pid_t group = 0;
  int is_guarded = 1;  // from now on; 0: no more

  // Signal-safe. To one that has ended nothing is told; SIGPIPE must be ignored.
  void write(int guard) const;
};

class GroupGuard {
 public:
  // `self`: the program that has the subcommand `group-guard`; empty: nothing is guarded.
  GroupGuard(std::string self, Seconds grace) : self_(std::move(self)), grace_(grace) {}

  // Where notes go: the descriptor is closed on exec. -1 if there is no guard.
  int descriptor();

 private:
  const std::string self_;
  const Seconds grace_;
  Descriptor pipe_;
};

// The subcommand: `group-guard SECONDS`, with the pipe as its standard input. Returns its exit
// status.
int run_group_guard(int argc, char** argv);

}  // namespace batchproxy
