// launcher/doctor/placement_check.cc - would engines of other nodes come up? It was asked before.
#include "launcher/doctor/checks.h"

namespace batchproxy {

FindingList check_placement(const Subject& subject) {
  return subject.outlook ? subject.outlook->placement : FindingList();
}

FindingList check_agents(const Subject& subject) {
  return subject.outlook ? subject.outlook->agents : FindingList();
}

}  // namespace batchproxy
