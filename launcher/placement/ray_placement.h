// launcher/placement/ray_placement.h - RayPlacement: engines' agents as jobs of a Ray cluster.
//
//   begin: Ray's version, the jobs of earlier runs ─▶ stopped, and deleted later
//   carry: submit ─▶ PENDING ─▶ RUNNING ─▶ over: on_ended(), and deleted later
//                       └── cancel: stop ──▶─┘
//
// A job is looked at twice a second while it waits or is to end, every five seconds while it runs:
// that its engine has died is known sooner, by the agent's connection. A job that Ray no longer
// knows has ended: a head that was started anew has forgotten all of them, and its nodes have ended
// their processes.
//
// Threading: as Placement.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "launcher/placement/placement.h"

namespace batchproxy {

struct RayAddress;

class RayPlacement final : public Placement {
 public:
  RayPlacement(const PlacementSetup& setup, RayAddress address);
  // Jobs that are not yet over are left to their agents, which end without us.
  ~RayPlacement() override;
  RayPlacement(const RayPlacement&) = delete;
  RayPlacement& operator=(const RayPlacement&) = delete;

  void begin(std::function<void()> ready) override;
  std::unique_ptr<Carrier> carry(const AgentCall& call, Carrier::Hooks hooks) override;

 private:
  struct Core;
  std::shared_ptr<Core> core_;
};

// For the table of placements. The last throws std::runtime_error for what the first names.
std::vector<std::string> ray_lacks(const Options& options, const Environment& environment);
std::string ray_shown(const Options& options, const Environment& environment,
                      const AgentCall& call);
std::unique_ptr<Placement> make_ray_placement(const PlacementSetup& setup);

// A process of this machine by its pid and the time of its start, so that another which has got its
// pid is not taken for it: "4711 90123". Empty: there is no such process.
std::string process_mark(int pid);
// Whether a process with that mark runs here.
bool process_lives(const std::string& mark);

}  // namespace batchproxy
