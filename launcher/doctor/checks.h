// launcher/doctor/checks.h - the checks, by what they look at. Each gives a finding or several, or
// none where it does not apply.
//
// Threading: pure functions of what they are given, but for files of `Subject::machine`.
#pragma once

#include <vector>

#include "launcher/base/finding.h"
#include "launcher/doctor/subject.h"

namespace batchproxy {

using FindingList = std::vector<Finding>;

// gpu_checks.cc
FindingList check_gpus(const Subject& subject);
FindingList check_gpu_memory(const Subject& subject);
FindingList check_driver(const Subject& subject);
FindingList check_nvlink(const Subject& subject);
FindingList check_peer_to_peer(const Subject& subject);

// system_checks.cc
FindingList check_compiler(const Subject& subject);
FindingList check_shared_memory(const Subject& subject);
FindingList check_host_memory(const Subject& subject);
FindingList check_disk(const Subject& subject);
FindingList check_descriptors(const Subject& subject);
FindingList check_ports(const Subject& subject);

// vllm_checks.cc
FindingList check_vllm(const Subject& subject);
FindingList check_plugins(const Subject& subject);
FindingList check_arguments(const Subject& subject);

// model_check.cc
FindingList check_model(const Subject& subject);

// plan_check.cc
FindingList check_plan(const Subject& subject);

// placement_check.cc
FindingList check_placement(const Subject& subject);
FindingList check_agents(const Subject& subject);

}  // namespace batchproxy
